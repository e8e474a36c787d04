"""Progress bars on standard error, only where someone looks at it."""

from __future__ import annotations

import sys
from typing import Any

from .say import clean

__all__ = ["CodingBar", "ModelBar", "PartBar", "TrainingBar"]


def _bar(**options: Any) -> Any:
    from tqdm import tqdm

    return tqdm(
        unit="B", unit_scale=True, unit_divisor=1000, leave=False, delay=0.5, file=sys.stderr,
        dynamic_ncols=True, **options,
    )  # fmt: skip


class CodingBar:
    """Throughput and ratio while a file is coded; silent if not shown."""

    def __init__(self, label: str, total: int | None, *, show: bool) -> None:
        self._bar = _bar(desc=clean(label), total=total) if show and sys.stderr.isatty() else None

    def __call__(self, content_bytes: int, archive_bytes: int = 0) -> None:
        """Set the bytes of contents done and of archive written so far."""
        if self._bar is None:
            return
        if archive_bytes and content_bytes:
            self._bar.set_postfix_str(f"{archive_bytes / content_bytes:.1%}", refresh=False)
        self._bar.update(content_bytes - self._bar.n)

    def __enter__(self) -> CodingBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


class PartBar:
    """Bytes done of those that there will be, which is known only when the work begins."""

    def __init__(self, label: str, *, show: bool) -> None:
        self._label, self._show = label, show
        self._bar: CodingBar | None = None

    def __call__(self, done: int, total: int) -> None:
        """Set the bytes done so far, and all there will be."""
        if self._bar is None:
            self._bar = CodingBar(self._label, total, show=self._show)
        self._bar(done)

    def __enter__(self) -> PartBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)


class TrainingBar:
    """Tokens trained on, and bits a token; notices stand above it."""

    def __init__(self, total: int, *, show: bool) -> None:
        self._bar: Any = None
        if show and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=" tokens", unit_scale=True, leave=False,
                             desc="training", file=sys.stderr, dynamic_ncols=True)  # fmt: skip

    def __call__(self, tokens: int, bits: float) -> None:
        """Set the tokens done so far, and the bits a token of the last of them."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"{bits:.2f} bits a token", refresh=False)
            self._bar.update(tokens - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class ModelBar:
    """Download and conversion of a model."""

    def __init__(self, *, show: bool) -> None:
        self._show = show and sys.stderr.isatty()
        self._bar: Any = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if not self._show:
            return
        if what != self._what:
            self.close()
            self._bar, self._what = _bar(desc=what, total=total), what
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._what = None, ""
