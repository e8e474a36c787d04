"""Reads and writes that are repeated until all is read or written, whatever the file object is.

A raw file object (what `PYTHONUNBUFFERED=1` makes of standard output, `open(..., buffering=0)`, a
socket's) may take or give only a part, and one that does not block may take or give nothing for
now. Both look like success to a caller who does not compare lengths.
"""

from __future__ import annotations

import errno
import io
import os
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["flush_all", "read_up_to", "wait_for", "write_all"]

_PAUSE_S = 0.01
"""Between two tries where the system cannot say when a file is ready."""


def wait_for(file: Any, *, writing: bool) -> None:
    """Return when a file object or descriptor that does not block is ready, or after a moment.

    Raises UsageError for an object without a descriptor: nobody can say when it will be.
    """
    try:
        number = file if isinstance(file, int) else file.fileno()
    except (AttributeError, OSError, ValueError):
        what = "output is non-blocking and takes" if writing else "input is non-blocking and has"
        raise UsageError(f"the {what} no data at the moment") from None
    try:
        poll = select.poll()
        poll.register(number, select.POLLOUT if writing else select.POLLIN)
        poll.poll()
    except (AttributeError, OSError):  # not on this system
        time.sleep(_PAUSE_S)


def write_all(file: Any, data: ReadableBuffer) -> int:
    """The number of bytes of `data`, all of which `file.write` has taken.

    Raises OSError if the file takes no more. A raw file object that returns None is waited for;
    for any other object None means that all was taken.
    """
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        try:
            taken = file.write(view[done:])
        except BlockingIOError as error:  # of a buffered object: what it has taken, it keeps
            taken = getattr(error, "characters_written", 0)
            wait_for(file, writing=True)
        else:
            if taken is None:
                if not isinstance(file, io.RawIOBase):
                    return len(view)
                wait_for(file, writing=True)
                taken = 0
            elif taken <= 0:
                raise OSError(errno.EIO, "the output takes no more bytes")
        done += taken
    return done


def flush_all(file: Any) -> None:
    """Flush, waiting for a file that does not block; objects without `flush` have nothing to."""
    flush: Callable[[], object] | None = getattr(file, "flush", None)
    while flush is not None:
        try:
            flush()
        except BlockingIOError:
            wait_for(file, writing=True)
        else:
            return


def read_up_to(file: Any, size: int = -1) -> bytes:
    """`size` bytes, fewer only if the file ends before; all there are if `size` is negative.

    At most a megabyte is asked for at once, so that a false size allocates nothing. Raises OSError.
    """
    parts = bytearray()
    while size < 0 or len(parts) < size:
        try:
            part = file.read(1 << 20 if size < 0 else min(size - len(parts), 1 << 20))
        except BlockingIOError:
            part = None
        if part is None:
            wait_for(file, writing=False)
        elif not part:
            break
        else:
            parts += part
    return bytes(parts)


def write_descriptor(number: int, data: ReadableBuffer) -> int:
    """The number of bytes of `data`, all written to a file descriptor. Raises OSError."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        try:
            taken = os.write(number, view[done:])
        except BlockingIOError:
            wait_for(number, writing=True)
            continue
        if taken <= 0:
            raise OSError(errno.EIO, "the output takes no more bytes")
        done += taken
    return done
