"""From the options about side information to what the codec takes."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..codec import SideInformation, SideParameters
    from ..format import Thoughts

__all__ = ["THINKING", "chosen_side", "chosen_side_parameters"]

_PLACE = b"{think}"
_GREATEST = 16
_OF_THOUGHTS = ("think_every", "chains", "temperature", "seed", "prompt")
THINKING = ("think", *_OF_THOUGHTS, "given_prefix", "given_always")
"""Options that only compression asks for."""


def chosen_side(given: dict[str, Any]) -> SideInformation | None:
    """The side information: the --given files, nothing (with --think alone), or None."""
    from ..codec import SideInformation

    if not given["given"]:
        return SideInformation.nothing() if given["think"] else None
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(name, "rb")) for name in given["given"]]
        return SideInformation.read(files)


def chosen_side_parameters(given: dict[str, Any]) -> SideParameters:
    """How to use it. Raises UsageError for options that contradict each other."""
    from ..codec import SideParameters

    if given["given_prefix"] is not None and not given["given"]:
        raise UsageError("--given-prefix needs --given")
    always = given.get("given_always", False)
    if always and not (given["given"] or given["think"]):
        raise UsageError("--given-always needs --given or --think")
    return SideParameters(given["given_prefix"], _thoughts(given), always)


def _thoughts(given: dict[str, Any]) -> Thoughts | None:
    from ..format import MAX_PROMPT_BYTES, Thoughts

    if not given["think"]:
        for name in _OF_THOUGHTS:
            if given[name] is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs --think")
        return None
    if _inverse(given["temperature"]) == 0 and (given["chains"] or 1) > 1:
        raise UsageError("--chains: all chains are the same at temperature 0")
    before, _, behind = os.fsencode(given["prompt"] or "").partition(_PLACE)
    if _PLACE in behind:
        raise UsageError("--prompt: {think} may occur only once")
    if max(len(before), len(behind)) > MAX_PROMPT_BYTES:
        raise UsageError(f"--prompt: each part may have at most {MAX_PROMPT_BYTES:,} bytes")
    return Thoughts(
        tokens=given["think"],
        chains=given["chains"] or 1,
        temperature=_inverse(given["temperature"]),
        seed=given["seed"] or 0,
        every=given["think_every"] or 0,
        before=before,
        behind=behind,
    )


def _inverse(temperature: str | None) -> int:
    """m of a temperature of 1/m, 0 of 0."""
    if temperature is None:
        return 1
    try:
        value = float(Fraction(temperature))
    except (ValueError, ArithmeticError):
        value = -1.0
    m = 0 if value <= 0 else round(1 / value)
    if value == 0 or (1 <= m <= _GREATEST and abs(value - 1 / m) <= 0.01 / m):
        return m
    raise UsageError(
        f"--temperature must be 0 or 1/m with m from 1 to {_GREATEST}, not {temperature}"
    )
