"""What the library logs, as notices of a command."""

from __future__ import annotations

import inspect
import logging
import weakref
from collections.abc import Callable

__all__ = ["show_log"]

Notice = Callable[[str], None]


class _Notices(logging.Handler):
    def __init__(self, notice: Notice) -> None:
        super().__init__(logging.WARNING)
        # Loggers live to the very end, and should not keep a command's models until then.
        self._notice: Callable[[], Notice | None] = (
            weakref.WeakMethod(notice) if inspect.ismethod(notice) else lambda: notice
        )

    def emit(self, record: logging.LogRecord) -> None:
        notice = self._notice()
        if notice is not None:
            notice(record.getMessage())


def show_log(notice: Notice) -> None:
    """From now on lmzip's warnings go there and nowhere else."""
    log = logging.getLogger("lmzip")
    log.handlers, log.propagate = [_Notices(notice)], False
