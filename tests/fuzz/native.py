"""The native coder and mixer as targets."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import Target


class Ranges(Target):
    """The native range decoder: any payload, any rows."""

    modules = ("coder/native.py",)

    def __init__(self) -> None:
        self.seeds = [bytes(40), b"\xff" * 40, bytes(range(40))]

    def run(self, data: bytes) -> None:
        from lmzip.coder.native import NativeDecoder

        rng = np.random.default_rng(zlib.crc32(data))
        decoder = NativeDecoder(data)
        for _ in range(6):
            rows, n = int(rng.integers(1, 5)), int(rng.choice((2, 3, 16, 256)))
            symbols = decoder.code(rows_of(rng, rows, n))
            assert symbols.min() >= 0 and symbols.max() < n
            p1 = rng.choice((1, (1 << 24) - 1, int(rng.integers(1, 1 << 24))), 3).astype(np.int32)
            bits = decoder.code_bits(p1)
            assert set(bits.tolist()) <= {0, 1}


def rows_of(rng: np.random.Generator, rows: int, n: int) -> Any:
    """Frequencies [rows, n] of at least 1 that sum to 2^24: flat, skewed, or all but sure."""
    weights = rng.exponential(size=(rows, n)) ** rng.integers(0, 30, (rows, 1))
    freqs = np.floor(weights / weights.sum(1, keepdims=True) * ((1 << 24) - n)).astype(np.int32) + 1
    freqs[np.arange(rows), rng.integers(0, n, rows)] += (1 << 24) - freqs.sum(1, dtype=np.int32)
    return freqs


class Mixing(Target):
    """The native mixer under any tokens, rows and payloads: what is encoded decodes, and nothing breaks."""

    modules = ("mix/interface.py",)

    def __init__(self) -> None:
        self.seeds = [bytes(30), b"\xff" * 30, bytes(range(30))]
        rng = np.random.default_rng(5)
        self._tables = {v: self._table(rng, v) for v in (256, 300, 1000)}

    @staticmethod
    def _table(rng: np.random.Generator, vocab: int) -> Any:
        from lmzip.mix import TokenBytes

        parts = [bytes([i]) for i in range(256)]
        parts += [rng.bytes(int(rng.integers(0, 40))) for _ in range(vocab - 256)]
        ends = np.cumsum([0, *map(len, parts)]).astype(np.int64)
        return TokenBytes(ends, np.frombuffer(b"".join(parts), np.uint8))

    def run(self, data: bytes) -> None:
        from lmzip.coder.native import NativeDecoder, NativeEncoder
        from lmzip.mix import NativeMixer

        seed = zlib.crc32(data)
        rng = np.random.default_rng(seed)
        vocab, streams = int(rng.choice(list(self._tables))), int(rng.integers(1, 4))
        bits = int(rng.integers(8, 11))
        steps = [int(rng.integers(1, streams + 1)) for _ in range(12)]
        steps.sort(reverse=True)
        tokens = [rng.integers(0, vocab if rng.random() < 0.5 else 3, rows) for rows in steps]
        primed = rng.integers(0, vocab, int(rng.integers(0, 9)))

        def code(coder: Any, known: bool) -> Iterator[Any]:
            mixer = NativeMixer(self._tables[vocab], streams, bits)
            draws = np.random.default_rng(seed + 1)
            mixer.prime(primed)
            for step, rows in enumerate(steps):
                if step == 7:
                    mixer.restart()
                now = tokens[step] if known else None
                digits = rows_of(draws, rows, -(-vocab // 256))
                high = mixer.code_high(coder, digits, None if now is None else now // 256)
                yield mixer.code_low(coder, rows_of(draws, rows, 256), high, now)

        encoder = NativeEncoder()
        for _ in code(encoder, True):
            pass
        payload = encoder.finish()
        for found, now in zip(code(NativeDecoder(payload), False), tokens, strict=True):
            assert np.array_equal(found, now)
        for found in code(NativeDecoder(data), False):
            assert found.min() >= 0 and found.max() < vocab
