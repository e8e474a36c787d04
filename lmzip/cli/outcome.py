"""What came of a long run: whatever goes wrong, what was done before is shown."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from ..errors import LmzipError, UsageError
from ..files.standard import STANDARD_OUTPUT
from .say import say

__all__ = ["Outcome"]

INTERRUPTED = 130


class Outcome:
    """Collects failures; says them all at the end, with an exit code."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said = 0
        self.failures: list[str] = []
        self.code = 0

    def notice(self, message: str) -> None:
        """Say something that is no failure."""
        if not self._quiet:
            say(f"{message}")

    def fail(self, problem: BaseException | str, label: str = "", *, code: int = 1) -> None:
        """Note a failure, behind the name of what has failed."""
        reason = problem if isinstance(problem, str) else _reason(problem, not label)
        self.failures.append(f"{label}: {reason}" if label else reason)
        self.code = max(self.code, code)

    @contextlib.contextmanager
    def attempt(self, label: str = "") -> Iterator[None]:
        """Turn errors into failures; wrong usage exits with 2."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (LmzipError, OSError, MemoryError) as error:
            self.fail(error, label, code=2 if isinstance(error, UsageError) else 1)

    def stop(self, stopped: BaseException) -> None:
        """Note that somebody has ended the work: Ctrl-C, or a polite kill."""
        number = stopped.code if isinstance(stopped, SystemExit) else INTERRUPTED
        self.fail("interrupted", code=number if isinstance(number, int) else 1)

    def show(self, text: str) -> None:
        """Print; if nobody reads it, the rest of the work goes on all the same."""
        try:
            print(text, flush=True)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                self.code = max(self.code, 1)
            else:
                self.fail(error)
            STANDARD_OUTPUT.give_up()

    def tell(self) -> None:
        """Say the failures that were not said yet."""
        for failure in self.failures[self._said :]:
            say(f"{failure}")
        self._said = len(self.failures)

    def exit(self) -> NoReturn:
        """Say what failed, and leave."""
        self.tell()
        sys.exit(self.code)


def _reason(error: BaseException, say_file: bool) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename and say_file else reason
    return str(error)
