"""What the library logs, as notices of a command."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["show_log"]


class _Notices(logging.Handler):
    def __init__(self, notice: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._notice = notice

    def emit(self, record: logging.LogRecord) -> None:
        self._notice(record.getMessage())


def show_log(notice: Callable[[str], None]) -> None:
    """From now on lmzip's warnings go there and nowhere else."""
    log = logging.getLogger("lmzip")
    log.handlers, log.propagate = [_Notices(notice)], False
