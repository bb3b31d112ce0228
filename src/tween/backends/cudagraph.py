"""Torch on a CUDA device, each verb recorded as a CUDA graph of one size: hundreds of kernels are begun by one call.

Written after torch's documentation, and never run: no GPU was at hand. What is kept and copied (`replay.py`) is tested
on the CPU, with another recorder.

frame -> pinned buffer -> embed -> relate -> render -> pinned memory
                          each: inputs copied in, the graph played, outputs copied out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import Conflict
from ..models.model import Model, Tensors
from .graph import Verb, VerbName, passes_through
from .replay import Record, Replays
from .torch import TorchBackend
from .wrappers import is_want_of_memory

WARM_UPS = 3  # before a recording: libraries choose their ways, and what is computed once is computed


class CudaGraphBackend(TorchBackend):
    """The torch backend, for models whose verbs do the same to whatever frames of a size: none that `searches` or
    `chooses`.

    Args:
        model: any such. device: `cuda:0`, ...
        precision: `fp32`, `bf16`, `fp16`.
        record: another way to record, for tests.

    Raises:
        Conflict: when it first runs, of a model whose work cannot be recorded.
    """

    name = "cudagraph"

    def __init__(
        self, model: Model, *, device: str = "cuda:0", precision: str = "fp32", record: Record | None = None
    ) -> None:
        super().__init__(model, device=device, precision=precision)
        self._replays = Replays(record or self._captured)

    def embed(self, frame: Tensor) -> Tensors:
        """`[B, 3, H, W]` in [0, 1] -> what one frame says alone, on the device."""
        with self._as_asked():
            return self._played("embed", [self._frames(frame).contiguous(memory_format=self._layout)])

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        """Embeddings in `spec.context` order -> what they say together, on the device."""
        parts = tuple(len(embedding) for embedding in context)
        with self._as_asked():
            return self._played("relate", [tensor for embedding in context for tensor in embedding], parts)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        """A scene and `t` `[B]` -> `[B, 3, H, W]` in [0, 1], float32, on the CPU, contiguous."""
        with self._as_asked():
            (frame,) = self._played("render", [*scene, self._times(t)])
        return self._back(frame)

    def _played(self, verb: VerbName, given: Sequence[Tensor], parts: tuple[int, ...] = ()) -> Tensors:
        """A verb on a flat row of tensors; one that only hands them on is not recorded."""
        work = Verb(self._model, verb, parts)
        if passes_through(self._model, verb):
            return work(*given)
        return self._replays((verb, parts), work, given)

    def _captured(self, work: Callable[[], Tensors]) -> tuple[Callable[[], object], Tensors]:
        """As a CUDA graph, the way torch's documentation says it: warm on a stream of its own, then captured."""
        with torch.cuda.device(self.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    work()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            try:
                # What other threads do on the GPU meanwhile, as to page-lock memory, is none of its business.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    outputs = work()
            except RuntimeError as error:
                cause = error.__context__ or error  # to leave a broken capture may raise once more
                if is_want_of_memory(cause):
                    raise cause from None
                called = type(self._model).__name__.lower()
                need = f"what it does cannot be recorded ({str(cause).partition(chr(10))[0]})"
                raise Conflict(f"--backend cudagraph for {called}", need, "--backend torch") from error
        return self._replayed(graph), outputs

    def _replayed(self, graph: torch.cuda.CUDAGraph) -> Callable[[], object]:
        def replay() -> None:
            with torch.cuda.device(self.device):
                graph.replay()

        return replay
