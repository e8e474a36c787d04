"""A range of an archive's contents, as the command line says it."""

from __future__ import annotations

import dataclasses

import click

from ..errors import UsageError
from .options import parse_size

__all__ = ["ByteRange", "parse_range"]


@dataclasses.dataclass(frozen=True)
class ByteRange:
    """Some bytes from a start on, which may count from the end."""

    start: int
    """Negative: so many bytes before the end."""
    length: int | None
    """None: all up to the end."""

    def within(self, content_bytes: int) -> tuple[int, int]:
        """First byte and end, of contents of that many bytes. Raises UsageError if it begins after
        their end; where it would end after it, it ends there."""
        start = self.start if self.start >= 0 else max(0, content_bytes + self.start)
        if start > content_bytes:
            raise UsageError(
                f"the range begins at byte {start:,}, but the contents have {content_bytes:,} bytes"
            )
        if self.length is None:
            return start, content_bytes
        return start, min(start + self.length, content_bytes)


def parse_range(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> ByteRange | None:
    """START, START: or START:LENGTH, each a size like 1000 or 64k; START may be negative."""
    if value is None:
        return None
    first, _colon, second = value.strip().partition(":")
    backwards = first.startswith("-")
    start = parse_size(ctx, parameter, first.removeprefix("-"))
    length = parse_size(ctx, parameter, second) if second else None
    assert start is not None
    if backwards and not start:
        raise click.BadParameter(f"{value!r}: -0 is not a position")
    return ByteRange(-start if backwards else start, length)
