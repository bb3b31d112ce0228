"""What numba has no words for: Winograd's transforms and products of bf16, written as LLVM has them.

Everything here is told addresses and steps in bytes, all int64, and looks nothing up: `winograd` does. It needs AVX-512
with bf16 (`winograd.can`). Importing this needs numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES: Final = 16  # float32 in a register
ROWS: Final = 12  # that are multiplied at once
WIDEST: Final = 8  # half registers of columns that are
F32, I16, I32, I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOATS, WORDS, BITS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES), ir.VectorType(I16, LANES)
coded: Any = intrinsic  # to a type checker a call of an intrinsic lacks the context
Value = Any  # llvmlite tells no types of what it builds


class BFloat(ir.Type):
    """bf16, which LLVM knows and llvmlite does not."""

    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash("bfloat")


HALVES = ir.VectorType(BFloat(), LANES)


def number(value: int) -> Value:
    return ir.Constant(I64, value)


def vector(values: Sequence[float], kind: Value = I32) -> Value:
    return ir.Constant(ir.VectorType(kind, len(values)), list(values))


def ahead(b: Value, address: Value, step: Value, times: Value | int) -> Value:
    """`address` and so many steps, each of them a number of bytes."""
    step, times = (number(n) if isinstance(n, int) else n for n in (step, times))
    return b.add(address, b.mul(step, times))


def load(b: Value, address: Value, kind: Value, align: int) -> Value:
    loaded = b.load(b.inttoptr(address, ir.PointerType(kind)))
    loaded.align = align
    return loaded


def store(b: Value, value: Value, address: Value, align: int) -> None:
    b.store(value, b.inttoptr(address, ir.PointerType(value.type))).align = align


def widened(b: Value, address: Value) -> Value:
    """16 numbers in bf16 -> float32."""
    bits = b.zext(load(b, address, BITS, 2), WORDS)
    return b.bitcast(b.shl(bits, vector([16] * LANES)), FLOATS)


def narrowed(b: Value, values: Value) -> Value:
    """16 numbers in float32 -> bf16 as its bits, to the nearest."""
    return b.bitcast(b.fptrunc(values, HALVES), BITS)


def written(count: int, write: Callable[..., None]) -> tuple[Any, Any]:
    """What an intrinsic of `count` int64 numbers returns; `write(builder, *numbers)` writes its code."""

    def generate(context: Any, builder: Value, signature: Any, given: Sequence[Value]) -> Value:  # noqa: ARG001
        write(builder, *given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * count), generate


@coded
def multiply(context, panel, left, step, right, out, out_step, pairs):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """`ROWS` rows of bf16 times a panel of columns: the sums in float32.

    `panel`: half registers of columns, 1 to `WIDEST`. `left`: rows of pairs of bf16, `step` bytes apart. `right`: for
    every pair 16 pairs a register, aligned, the last register maybe half full. `out`: rows of float32, `out_step` bytes
    apart. `pairs`: how many are added up.
    """

    def write(b: Value, panel: Value, left: Value, step: Value, *more: Value) -> None:
        right, out, out_step, pairs = more
        for halves in range(1, WIDEST + 1):
            high = ROWS if halves <= WIDEST // 2 else ROWS // 2  # as many sums as registers hold
            with b.if_then(b.icmp_signed("==", panel, number(halves))):
                for first in range(0, ROWS, high):
                    rows = [ahead(b, left, step, first + k) for k in range(high)]
                    into = [ahead(b, out, out_step, first + k) for k in range(high)]
                    multiply_rows(b, rows, halves, right, into, pairs)

    return written(7, write)


def multiply_rows(b: Value, rows: list[Value], halves: int, right: Value, out: list[Value], pairs: Value) -> None:
    """Rows from some addresses to others, their sums kept in registers."""
    lanes = [LANES] * (halves // 2) + [LANES // 2] * (halves % 2)
    sums = [[cgutils.alloca_once(b, ir.VectorType(F32, n)) for n in lanes] for _ in rows]
    for totals in sums:
        for total, n in zip(totals, lanes, strict=True):
            b.store(vector([0.0] * n, F32), total)
    with cgutils.for_range(b, pairs) as loop:
        here, there = ahead(b, right, 64 * len(lanes), loop.index), b.mul(loop.index, number(4))
        columns = [load(b, ahead(b, here, 64, z), ir.VectorType(I32, n), 64) for z, n in enumerate(lanes)]
        for row, totals in zip(rows, sums, strict=True):
            pair = load(b, b.add(row, there), I32, 4)
            for total, column, n in zip(totals, columns, lanes, strict=True):
                b.store(dot(b, b.load(total), everywhere(b, pair, n), column, n), total)
    for to, totals in zip(out, sums, strict=True):
        for z, total in enumerate(totals):
            store(b, b.load(total), ahead(b, to, 64, z), 32)


def everywhere(b: Value, pair: Value, lanes: int) -> Value:
    """A pair of bf16 in every lane."""
    empty = ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
    return b.shuffle_vector(b.insert_element(empty, pair, ir.Constant(I32, 0)), empty, vector([0] * lanes))


def dot(b: Value, sums: Value, left: Value, right: Value, lanes: int) -> Value:
    """To each of so many sums the two products of a pair of bf16 on each side."""
    floats, halves = ir.VectorType(F32, lanes), ir.VectorType(BFloat(), 2 * lanes)
    kind = ir.FunctionType(floats, [floats, halves, halves])
    function = cgutils.get_or_insert_function(b.module, kind, f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}")
    return b.call(function, [sums, b.bitcast(left, halves), b.bitcast(right, halves)])


def input_line(b: Value, d: Sequence[Value]) -> list[Value]:
    """Four numbers in a line -> what F(2, 3) multiplies."""
    return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]


def output_line(b: Value, m: Sequence[Value]) -> list[Value]:
    """Four products -> two sums in a line."""
    return [b.fadd(m[0], b.fadd(m[1], m[2])), b.fsub(b.fsub(m[1], m[2]), m[3])]


def both_ways(b: Value, line: Callable[..., list[Value]], square: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """A line's transform of the columns of a square, then of its rows."""
    columns = [line(b, column) for column in zip(*square, strict=True)]
    return [line(b, row) for row in zip(*columns, strict=True)]


@coded
def transform_input(context, pixels, line, pixel, out, step, registers):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """4x4 pixels of bf16, `line` and `pixel` bytes apart -> 16 rows of bf16, `step` bytes apart.

    `registers`: how many times 16 channels; those behind the last one are read and multiplied by 0, so they must be
    numbers.
    """

    def write(b: Value, pixels: Value, line: Value, pixel: Value, out: Value, step: Value, registers: Value) -> None:
        rows = [ahead(b, pixels, line, k) for k in range(4)]
        places = [[ahead(b, row, pixel, k) for k in range(4)] for row in rows]
        with cgutils.for_range(b, registers) as loop:
            at = b.mul(loop.index, number(2 * LANES))
            square = both_ways(b, input_line, [[widened(b, b.add(place, at)) for place in row] for row in places])
            for k, values in enumerate(values for row in square for values in row):
                store(b, narrowed(b, values), b.add(ahead(b, out, step, k), at), 2)

    return written(6, write)


@coded
def transform_output(context, sums, step, bias, slope, to, line, pixel, added, added_line, added_pixel, channels):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """16 rows of float32 sums, `step` bytes apart -> 2x2 pixels of bf16: with what is added and a bias, and
    below 0 times a slope.

    `to`, `added`: their pixels, `line` and `pixel` bytes apart. `channels`: just so many are written.
    """

    def write(b: Value, *given: Value) -> None:
        sums, step, bias, slope, *pictures, channels = given
        places, others = (
            [ahead(b, ahead(b, begin, line, k), pixel, j) for k in (0, 1) for j in (0, 1)]
            for begin, line, pixel in (pictures[:3], pictures[3:])
        )
        registers = b.lshr(b.add(channels, number(LANES - 1)), number(4))
        with cgutils.for_range(b, registers) as loop:
            at, at_float = b.mul(loop.index, number(2 * LANES)), b.mul(loop.index, number(4 * LANES))
            read = [load(b, b.add(ahead(b, sums, step, k), at_float), FLOATS, 32) for k in range(16)]
            square = both_ways(b, output_line, [read[4 * k : 4 * k + 4] for k in range(4)])
            offset, below = (load(b, b.add(table, at_float), FLOATS, 4) for table in (bias, slope))
            left = b.sub(channels, b.mul(loop.index, number(LANES)))
            for k, values in enumerate(values for row in square for values in row):
                whole = b.fadd(b.fadd(values, offset), widened(b, b.add(others[k], at)))
                positive = b.fcmp_ordered(">", whole, vector([0.0] * LANES, F32))
                shown = narrowed(b, b.select(positive, whole, b.fmul(whole, below)))
                store_some(b, shown, b.add(places[k], at), left)

    return written(11, write)


def store_some(b: Value, values: Value, address: Value, count: Value) -> None:
    """16 values, or the first `count` of them."""
    with b.if_else(b.icmp_signed(">=", count, number(LANES))) as (all_of_them, some):
        with all_of_them:
            store(b, values, address, 2)
        with some:
            rest, place = cgutils.alloca_once(b, BITS), cgutils.alloca_once(b, I64)
            b.store(values, rest)
            b.store(address, place)
            for size in (8, 4, 2, 1):
                with b.if_then(b.icmp_signed("!=", b.and_(count, number(size)), number(0))):
                    here, now = b.load(place), b.load(rest)
                    store(b, b.shuffle_vector(now, now, vector(range(size))), here, 2)
                    b.store(b.shuffle_vector(now, now, vector([(k + size) % LANES for k in range(LANES)])), rest)
                    b.store(b.add(here, number(2 * size)), place)
