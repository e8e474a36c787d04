"""Mutations of bytes and of JSON, drawn from a seeded generator."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

NUMBERS = [0, 1, 2, 3, 7, 127, 128, 255, 256, 1 << 14, 1 << 16, (1 << 24) - 1, 1 << 24, 1 << 30,
           1 << 31, (1 << 32) - 1, 1 << 48, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63,
           (1 << 64) - 1, 1 << 70]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, "", "x", "0", "\ud800", "\x00", [], {}, [[]], [0], [None], 0, 1, -1, 0.5,
    1e308, float("inf"), float("nan"), 10**30, -(10**30), *NUMBERS, "a" * 300, {"a": {"a": 1}},
]  # fmt: skip


def varint(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def mutate_bytes(
    rng: random.Random, data: bytes, pool: Sequence[bytes], words: Sequence[bytes] = ()
) -> bytes:
    """The bytes with a few changes: flips, cuts, copies, numbers, words, parts of the pool's."""
    out = bytearray(data)
    for _ in range(1 + int(rng.expovariate(0.7))):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + 1 + int(rng.expovariate(0.15)))
        choice = rng.randrange(9)
        if choice == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif choice == 1 and out:
            out[min(at, len(out) - 1)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif choice == 2:
            del out[at:end]
        elif choice == 3:
            out[at:at] = out[at:end]
        elif choice == 4:
            out[at:at] = varint(rng.choice(NUMBERS) + rng.randrange(-1, 2) & (1 << 70) - 1)
        elif choice == 5:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) & (1 << 8 * size) - 1
            out[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
        elif choice == 6 and words:
            out[at : at if rng.random() < 0.5 else end] = rng.choice(words)
        elif choice == 7:
            other = rng.choice(pool)
            start = rng.randrange(len(other) + 1)
            out[at:end] = other[start : start + 1 + int(rng.expovariate(0.05))]
        else:
            out = out[: at if rng.random() < 0.2 else len(out)]
    return bytes(out)


def mutate_json(rng: random.Random, value: Any) -> Any:
    """The value with one or two of its parts replaced, removed, doubled or nested."""
    value = copy.deepcopy(value)
    for _ in range(1 + (rng.random() < 0.3)):
        places: list[tuple[Any, Any]] = []
        _collect(value, places, 400)
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        choice = rng.randrange(5)
        if choice == 0:
            del holder[key]
        elif choice == 1:
            holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
        elif choice == 2 and isinstance(holder[key], int | float):
            try:
                holder[key] = rng.choice(
                    (holder[key] + 1, -holder[key], holder[key] * 2, rng.choice(NUMBERS))
                )
            except OverflowError:
                holder[key] = 0
        elif choice == 3:
            other, name = rng.choice(places)
            holder[key] = (
                copy.deepcopy(other[name]) if key in _keys(holder) and name in _keys(other) else 0
            )
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return value


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _collect(value: Any, places: list[tuple[Any, Any]], most: int) -> None:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in items:
        if len(places) >= most:
            return
        places.append((value, key))
        _collect(part, places, most)


def json_text(rng: random.Random, value: Any) -> bytes:
    """The value as JSON; now and then damaged, or nested very deeply."""
    if rng.random() < 0.002:
        return b"[" * 100_000
    text = json.dumps(value)
    if rng.random() < 0.05:
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at]
            + rng.choice(("", ",", "}", "]", "1e999", "NaN", '"', "{", "9" * 5000))
            + text[at:]
        )
    return text.encode("utf-8", "surrogatepass")
