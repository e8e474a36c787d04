"""`lmzip -b[LEVELS] FILE...`: sizes and speeds of levels on one's own files."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import LmzipError, ModelNotFoundError
from ..files import read_up_to
from .inputs import STDIN, open_input
from .say import clean, say

if TYPE_CHECKING:
    from ..codec import CodecModel, CodingParameters

__all__ = ["benchmark_words", "parse_levels", "run_benchmark"]

_SHORT = re.compile(r"-b([0-9,-]*)")


def benchmark_words(words: Sequence[str]) -> list[str]:
    """The command line with -b, -b3, -b1-3 and -b1,5 as --benchmark=LEVELS."""
    out: list[str] = []
    for i, word in enumerate(words):
        if word == "--":
            return out + list(words[i:])
        match = _SHORT.fullmatch("-b" if word == "--benchmark" else word)
        out.append(word if match is None else f"--benchmark={match[1]}")
    return out


def parse_levels(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """The levels that 3, 1-3 or 1,5-7 stand for, in order; none for nothing: the one chosen."""
    if value is None:
        return None
    levels: list[int] = []
    for part in value.split(",") if value else ():
        match = re.fullmatch("([1-9])(?:-([1-9]))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise click.BadParameter(f"{value!r} is not a list of levels (such as 3, 1-3 or 1,5-7)")
        levels += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(dict.fromkeys(levels))


class _Row:
    """What a level made of a file."""

    def __init__(
        self, data: bytes, level: int, model: CodecModel, parameters: CodingParameters, limit: int
    ) -> None:
        """Compress and decompress, with caches of `limit` bytes at most. Raises LmzipError."""
        from ..codec import OneModel, compress_stream, decompress_stream

        archive, back = io.BytesIO(), io.BytesIO()
        start = time.perf_counter()
        compress_stream(
            io.BytesIO(data), archive.write, OneModel(model), parameters,
            size_bytes=len(data), memory_limit=limit,
        )  # fmt: skip
        middle = time.perf_counter()
        decompress_stream(
            io.BytesIO(archive.getvalue()), back.write, OneModel(model), memory_limit=limit
        )
        self.compress_s, self.decompress_s = middle - start, time.perf_counter() - middle
        if back.getvalue() != data:
            raise LmzipError(f"level {level} does not decode to the contents")
        self.size, self.content = len(archive.getvalue()), len(data)

    def line(self, level: int, model: str) -> str:
        """For people."""
        rate = 8 * self.size / self.content
        speeds = [self.content / seconds / 1e3 for seconds in (self.compress_s, self.decompress_s)]
        return (
            f"{-level:>5}  {clean(model):24} {self.size:>12,} {self.size / self.content:>7.2%} "
            f"{rate:>9.3f} {speeds[0]:>14,.1f} {speeds[1]:>14,.1f}"
        )


_HEAD = (
    f"{'level':>5}  {'model':24} {'bytes':>12} {'size':>7} {'bits/byte':>9} "
    f"{'compress kB/s':>14} {'decompr. kB/s':>14}"
)


def run_benchmark(files: Sequence[str], levels: Sequence[int], given: dict[str, Any]) -> int:
    """Print a table a file; the exit code. Models are loaded before the clock starts."""
    failed = 0
    for name in files:
        label = "(standard input)" if name == STDIN else name
        try:
            with open_input(name, archive=False, force=False) as source:
                data = read_up_to(source)
        except (LmzipError, OSError) as error:
            failed = 1
            say(f"{label}: {(isinstance(error, OSError) and error.strerror) or error}")
            continue
        if not data:
            say(f"{label}: is empty, so it cannot be measured")
            failed = 1
            continue
        print(f"{clean(label)}: {len(data):,} bytes", flush=True)
        print(_HEAD)
        for line, well in _lines(data, levels, given):
            failed = failed if well else 1
            print(line, flush=True)
    return failed


def _lines(data: bytes, levels: Sequence[int], given: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """A line for every level, and whether it is a measurement."""
    from ..levels import DEFAULT_LEVEL
    from .choices import chosen_parameters, open_models

    for number in levels or (given["level"] or DEFAULT_LEVEL,):
        options = given | {"level": number, "offline": True}
        name, parameters = chosen_parameters(options, given["model"])
        models = open_models(options, name, progress=None, notice=lambda message: None)
        try:
            model = models.for_compression()
            row = _Row(data, number, model, parameters, given["memory_limit"])
        except ModelNotFoundError:
            yield f"{-number:>5}  {clean(name):24} not measured: 'lmzip models pull {name}'", False
            continue
        except LmzipError as error:
            yield f"{-number:>5}  {clean(name):24} not measured: {clean(error)}", False
            continue
        yield row.line(number, name), True
