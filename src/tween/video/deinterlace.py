"""Whole pictures out of interlaced ones, by libavfilter's `bwdif`: one for each frame, at the frame's own time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import av
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AtEnd
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.stream import VideoStream

TOP_FIRST, INTERLACED = (2, 5), (2, 3, 4, 5)  # ffmpeg's AVFieldOrder: TT and BT; with BB and TB


def is_interlaced(native: av.VideoFrame, stream: VideoStream) -> bool:
    """Whether a picture is made of two fields, as it says itself or as its stream does."""
    return bool(native.interlaced_frame) or _order(stream) in INTERLACED


class Deinterlacer:
    """Pictures in, pictures out, as many, in order; those that are whole already pass unchanged.

    Args:
        stream: where they come from.
        native: the first of them.
    """

    def __init__(self, stream: VideoStream, native: av.VideoFrame) -> None:
        # Where a picture says nothing (raw and lossless codecs), the container's word holds for all of them.
        by_picture = bool(native.interlaced_frame)
        parity = "auto" if by_picture else "tff" if _order(stream) in TOP_FIRST else "bff"
        which = "interlaced" if by_picture else "all"
        graph = Graph()
        self._build(graph, graph.add_buffer(template=stream), parity, which)

    @classmethod
    def of_bare(cls, native: av.VideoFrame, parity: str) -> Deinterlacer:
        """For pictures without a stream, all of which have fields. `parity`: tff or bff, which field comes first."""
        made, graph = cls.__new__(cls), Graph()
        assert native.time_base is not None
        buffer = graph.add_buffer(
            width=native.width, height=native.height, format=native.format, time_base=native.time_base
        )
        made._build(graph, buffer, parity, "all")
        return made

    def _build(self, graph: Graph, buffer: FilterContext, parity: str, which: str) -> None:
        self._in = buffer
        filter = graph.add("bwdif", f"mode=send_frame:parity={parity}:deint={which}")
        self._out = graph.add("buffersink")
        self._in.link_to(filter)
        filter.link_to(self._out)
        graph.configure()
        self._graph = graph

    def take(self, native: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """A picture more; gives those that are done (one is held back)."""
        self._in.push(native)
        yield from self._done(native)

    def end(self, last: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Those that are left. `last` is any picture of the stream."""
        self._in.push(None)
        yield from self._done(last)

    def _done(self, like: av.VideoFrame) -> Iterator[av.VideoFrame]:
        while True:
            try:
                made = cast(av.VideoFrame, self._out.pull())
            except (NothingYet, AtEnd):
                return
            # bwdif counts in half ticks, to have room for a picture a field
            if made.pts is not None and made.time_base and like.time_base:
                made.pts = round(made.pts * made.time_base / like.time_base)
                made.duration = round(made.duration * made.time_base / like.time_base)
                made.time_base = like.time_base
            yield made


def _order(stream: VideoStream) -> int:
    return int(getattr(stream.codec_context, "field_order", 0) or 0)
