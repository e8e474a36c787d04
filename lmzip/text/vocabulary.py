"""Tokens to bytes: a table, and concatenation. Decoding text needs nothing else."""

from __future__ import annotations

import functools
import hashlib
import itertools

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError

__all__ = ["Vocabulary"]


class Vocabulary:
    """The bytes of every token. Tokens with no bytes never stand for text."""

    def __init__(self, offsets: NDArray[np.uint32], data: NDArray[np.uint8]) -> None:
        """`data[offsets[i]:offsets[i + 1]]` are token i's bytes; raises CorruptError."""
        ends = np.asarray(offsets, np.int64)
        if ends.ndim != 1 or len(ends) < 2 or ends[0] != 0 or ends[-1] != len(data):
            raise CorruptError("the token table's offsets do not cover its bytes")
        if (np.diff(ends) < 0).any():
            raise CorruptError("the token table's offsets decrease")
        self.ends, self.data = ends, np.ascontiguousarray(data)
        raw = data.tobytes()
        bounds = ends.tolist()
        self.tokens: list[bytes] = [raw[a:b] for a, b in itertools.pairwise(bounds)]
        self.byte_tokens: dict[int, int] = {}
        for i, token in enumerate(self.tokens):
            if len(token) == 1:
                self.byte_tokens.setdefault(token[0], i)
        if len(self.byte_tokens) < 256:
            raise CorruptError("the token table does not cover all 256 bytes")
        digest = hashlib.sha256(b"lmzip tokens 1\0")
        digest.update(ends.astype("<u4").tobytes())
        digest.update(raw)
        self.identity = digest.digest()

    def __len__(self) -> int:
        return len(self.tokens)

    @functools.cached_property
    def ids(self) -> dict[bytes, int]:
        """The smallest id of the tokens with these bytes."""
        found: dict[bytes, int] = {}
        for i, token in enumerate(self.tokens):
            if token:
                found.setdefault(token, i)
        return found

    def detokenize(self, ids: NDArray[np.int64], length: int | None = None) -> bytes:
        """The bytes of these tokens, of that `length` if it is given.

        Raises CorruptError for ids that text never yields and, before they are put together, for
        bytes of another length.
        """
        if len(ids) and (ids.min() < 0 or ids.max() >= len(self.tokens)):
            raise CorruptError("a token lies outside the vocabulary")
        parts = [self.tokens[i] for i in ids.tolist()]
        if not all(parts):
            raise CorruptError("a token without text was decoded")
        if length is not None and sum(map(len, parts)) != length:
            raise CorruptError("a block is damaged: it does not decode to what was compressed")
        return b"".join(parts)
