"""What is said to people: one line, whatever is in the names of files and models."""

from __future__ import annotations

import re
import sys

__all__ = ["clean", "say"]

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: object) -> str:
    """The text without what a terminal would obey, and without line ends: as Python writes those.

    Names come from archives, folders and other programs' messages.
    """
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], str(text))


def say(message: object, *, plain: bool = False) -> None:
    """A message on standard error, behind the program's name unless it is `plain`."""
    text = clean(message)
    print(text if plain else f"lmzip: {text}", file=sys.stderr)
