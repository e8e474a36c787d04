"""Packages that the base installation leaves out, and the command that installs each.

This module imports nothing but the standard library and the errors.
"""

from __future__ import annotations

import importlib.util

from .errors import MissingPackageError

__all__ = ["extra_of", "how_to_install", "require_packages"]

_EXTRAS = {
    "torch": ("PyTorch", "torch"),
    "transformers": ("the package transformers", "torch"),
    "triton": ("Triton", "gpu"),
    "brotli": ("the package brotli", "compare"),
    "pyppmd": ("the package pyppmd", "compare"),
    "matplotlib": ("the package matplotlib", "plot"),
    "scipy": ("the package scipy", "plot"),
    "datasets": ("the package datasets", "data"),
    "pyarrow": ("the package pyarrow", "data"),
    "ray": ("the package ray", "ray"),
}
"""By the name of the module: what to call it, and the extra that installs it."""


def extra_of(module: str) -> str | None:
    """The extra that installs a module; None for modules that no extra installs."""
    found = _EXTRAS.get(module.partition(".")[0])
    return None if found is None else found[1]


def how_to_install(module: str, purpose: str = "this") -> str:
    """One line for people: what is missing for `purpose`, and the command that installs it.

    The module is one that an extra installs.
    """
    title, extra = _EXTRAS[module.partition(".")[0]]
    return f"{title} is missing for {purpose}: pip install 'lmzip[{extra}]' installs it"


def require_packages(purpose: str, *modules: str) -> None:
    """Raise MissingPackageError if one of the modules is not installed.

    They are looked for and not imported. `purpose` is named in the message: "plots".
    """
    for module in modules:
        try:
            missing = importlib.util.find_spec(module) is None
        except (ImportError, ValueError):  # a module that is blocked, or is half imported
            missing = True
        if missing:
            raise MissingPackageError(how_to_install(module, purpose))
