"""The words of grep's and diff's command lines: which are options, and which take a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from .inputs import STDIN

__all__ = ["GrepWords", "UnsupportedOption", "WordError", "split_diff_words"]


class WordError(Exception):
    """The command line makes no sense."""


class UnsupportedOption(WordError):
    """An option of grep that makes no sense for archives."""


_GREP_VALUES = "ABCDXefm"
_GREP_LONG_VALUES = (
    "--after-context", "--before-context", "--context", "--max-count", "--regexp", "--file",
    "--binary-files", "--devices", "--label",
)  # fmt: skip
_GREP_REFUSED = "rRd"
_GREP_LONG_REFUSED = (
    "--recursive", "--dereference-recursive", "--directories", "--include", "--exclude",
    "--exclude-from", "--exclude-dir",
)  # fmt: skip
_DIFF_VALUES = "CDFILSUWXx"
_DIFF_LONG_VALUES = (
    "--label", "--unified", "--context", "--ifdef", "--show-function-line", "--width", "--exclude",
    "--ignore-matching-lines", "--horizon-lines", "--tabsize",
)  # fmt: skip


def _value(words: list[str], option: str) -> str:
    """The next word, which the option takes."""
    if not words:
        raise WordError(f"option {option} needs a value")
    return words.pop(0)


def _options(words: list[str], operands: list[str]) -> Iterator[str]:
    """The options among the words, which become fewer; the other words become operands.

    Whoever iterates takes the options' values from the words.
    """
    while words:
        word = words.pop(0)
        if word == "--":
            operands += words
            return
        if word.startswith("-") and word != STDIN:
            yield word
        else:
            operands.append(word)


@dataclasses.dataclass
class GrepWords:
    """grep's options, the pattern among them, and the files."""

    options: list[str]
    files: list[str]
    quiet: bool

    @classmethod
    def parse(cls, given: Sequence[str]) -> GrepWords:
        """What the words say. Raises WordError."""
        words, options = list(given), []
        operands: list[str] = []
        patterned = quiet = False
        for word in _options(words, operands):
            options.append(word)
            if word.startswith("--"):
                name, equals, _ = word.partition("=")
                if name in _GREP_LONG_REFUSED:
                    raise UnsupportedOption(f"{name}: option not supported")
                patterned = patterned or name in ("--regexp", "--file")
                quiet = quiet or name in ("--quiet", "--silent")
                if name in _GREP_LONG_VALUES and not equals:
                    options.append(_value(words, name))
                continue
            for i, letter in enumerate(word[1:], 2):
                if letter in _GREP_REFUSED:
                    raise UnsupportedOption(f"-{letter}: option not supported")
                patterned = patterned or letter in "ef"
                quiet = quiet or letter == "q"
                if letter in _GREP_VALUES:
                    if i == len(word):
                        options.append(_value(words, f"-{letter}"))
                    break
        if not patterned:
            if not operands:
                raise WordError("a pattern is missing; try 'lmzgrep --help'")
            options += ["-e", operands.pop(0)]
        return cls(options, operands or [STDIN], quiet)


def split_diff_words(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """diff's options with their values, and the files. Raises WordError."""
    words, options = list(given), []
    files: list[str] = []
    for word in _options(words, files):
        options.append(word)
        takes = word in _DIFF_LONG_VALUES or (len(word) == 2 and word[1] in _DIFF_VALUES)
        if takes:
            options.append(_value(words, word))
    return options, files
