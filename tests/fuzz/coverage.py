"""How much of the functions of a module was reached by a run's watched inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType


def function_lines(path: str) -> set[int]:
    """Numbers of the lines that the functions of a source file can execute.

    What runs when the module is loaded (its imports, constants, classes and `def` lines) is left out.
    """
    return {line for code in _functions(compile(Path(path).read_bytes(), path, "exec"))
            for _start, _end, line in code.co_lines() if line and line != code.co_firstlineno}  # fmt: skip


def _functions(code: CodeType) -> Iterator[CodeType]:
    optimized = 1  # CO_OPTIMIZED: the code of a function, and not of a module or a class
    if code.co_flags & optimized:
        yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _functions(part)


def reached(
    lines: Iterable[tuple[str, int]], modules: Iterable[str]
) -> dict[str, tuple[int, int, list[int]]]:
    """For each module (a path below lmzip/): lines reached, lines there are, and which were not."""
    seen: dict[str, set[int]] = {}
    for file, number in lines:
        seen.setdefault(file.rpartition("/lmzip/")[2], set()).add(number)
    found = {}
    for module in modules:
        there = function_lines(str(Path(__file__).parents[2] / "lmzip" / module))
        missed = there - seen.get(module, set())
        found[module] = (len(there) - len(missed), len(there), sorted(missed))
    return found
