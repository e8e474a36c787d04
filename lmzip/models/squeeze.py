"""Compressed weights: a pack in as few bytes as its weights take, and back with the same identity.

What a message that carries its model would carry: every matrix through the range coder under counts
that adapt, rows by how large their weights are; scales and gains byte by byte; rotary angles by
their base; the token table compressed, or, if it is that of the bytes, by its name. `coarsen` makes
a pack of fewer bits first: weights on a coarser grid, the smallest ones zero. Its identity is
another one, and that is what comes back.
"""

from __future__ import annotations

import dataclasses
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coder import Encoder, SymbolCoder, new_decoder, new_encoder
from ..engine import ModelConfig, Pack
from ..engine.arithmetic import INT8_MAX
from ..engine.weights import Tensors, expected_tensors, pack_identity, tile_matrix
from ..errors import CorruptError, UsageError
from .checkpoint import rope_turns

__all__ = ["SQUEEZED_SUFFIX", "Squeezed", "coarsen", "decoder_bytes", "squeeze", "unsqueeze"]

SQUEEZED_SUFFIX = ".lmzsqueezed"
MAGIC = b"lmzsq\x01"
_THETAS = (1e4, 1e5, 5e5, 1e6)
_TOTAL = 1 << 24
_FIRST_PART, _LAST_PART = 32, 8192
_CLASSES = 64
_SAME = _CLASSES - 1
"""The class of a row whose weights and scale are those of the row before."""
_PRIOR = 48
"""Weights that what is expected of a row counts for."""
_GRID = 16
"""Scales an octave on the coarse grid."""
_MOST_STEP = 6

Progress = Callable[[str, int, int], None]
Bytes = NDArray[np.uint8]


class _Model:
    """Adaptive counts of bytes in so many contexts, in two digits of four bits."""

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        """`counts` [contexts, 256]: to begin with, in units of 1/32 symbol; else one context that
        knows nothing."""
        self._counts = np.full((1, 256), 2, np.int64) if counts is None else counts
        self._seen = np.zeros(len(self._counts), np.int64)

    def _frequencies(self, counts: NDArray[np.int64]) -> NDArray[np.int32]:
        """[n, 16] in proportion to counts [n, 16], at least 1, with the right sums."""
        total = counts.sum(axis=1, keepdims=True)
        freqs = np.maximum(1, np.rint(counts * (_TOTAL / total)).astype(np.int64))
        most = freqs.argmax(axis=1)
        freqs[np.arange(len(freqs)), most] += _TOTAL - freqs.sum(axis=1)
        return np.asarray(freqs, np.int32)

    def code(self, coder: SymbolCoder, context: int, count: int, symbols: Bytes | None) -> Bytes:
        """Code so many bytes in a context, part by part; the counts follow."""
        out = np.empty(count, np.uint8)
        start = 0
        while start < count:
            size = int(min(max(_FIRST_PART, self._seen[context] // 2), _LAST_PART, count - start))
            counts = self._counts[context].reshape(16, 16)
            high = self._frequencies(counts.sum(axis=1)[None])
            low = self._frequencies(counts)
            part = None if symbols is None else symbols[start : start + size].astype(np.int64)
            first = coder.code(
                np.ascontiguousarray(np.broadcast_to(high, (size, 16))),
                None if part is None else part >> 4,
            )
            second = coder.code(low[first], None if part is None else part & 15)
            found = (first << 4 | second).astype(np.uint8)
            out[start : start + size] = found
            self._counts[context] += 32 * np.bincount(found, minlength=256)
            self._seen[context] += size
            start += size
        return out


def _row_class(rows: NDArray[np.int8]) -> Bytes:
    """Of each row: eighths of octaves of its mean size, 0 for a row of zeros."""
    mean = np.abs(rows.astype(np.int64)).mean(axis=1)
    with np.errstate(divide="ignore"):
        found = np.rint(6 * np.log2(np.maximum(mean, 2.0**-3))) + 19
    return np.where(mean > 0, np.clip(found, 1, _SAME - 1), 0).astype(np.uint8)


def _expected_counts() -> NDArray[np.int64]:
    """[classes, 256]: what to expect of a weight + 128 in a row of that mean size.

    A bell made of additions, products and quotients alone, so that every machine has the same one.
    """
    octaves, sixths = np.divmod(np.arange(_CLASSES) - 19, 6)
    roots = np.array([1.0, 1.122, 1.26, 1.414, 1.587, 1.782])
    mean = np.ldexp(roots[sixths], octaves)[:, None]
    distance = (np.arange(256) - 128.0) / (mean * 3.6)
    bell = 1.0 + distance * distance
    bell = 1.0 / (bell * bell * bell * bell * bell)
    counts = np.rint(bell * (_PRIOR * 32 * 0.32) / (mean + 0.5)).astype(np.int64)
    return np.asarray(np.maximum(counts, 1))


class _Coding:
    """One direction; the encoder is given the tensors, the decoder returns them."""

    def __init__(self, coder: SymbolCoder, *, encoding: bool) -> None:
        self._coder, self._encoding = coder, encoding
        self._plain = [_Model() for _ in range(4)]
        self._classes = _Model()
        self._weights = _Model(_expected_counts())

    def floats(self, shape: tuple[int, ...], values: NDArray[Any] | None) -> NDArray[np.float32]:
        """Binary32 numbers by their bytes, the highest first, each in a context of its own."""
        count = int(np.prod(shape))
        raw = None
        if values is not None:
            raw = np.ascontiguousarray(values, ">f4").view(np.uint8).reshape(count, 4)
        columns = [
            model.code(self._coder, 0, count, None if raw is None else raw[:, i])
            for i, model in enumerate(self._plain)
        ]
        found = np.stack(columns, axis=1).reshape(-1).view(">f4").astype("<f4")
        return np.asarray(found.reshape(shape))

    def matrix(
        self, rows: int, columns: int, weights: NDArray[np.int8] | None,
        scales: NDArray[np.float32] | None,
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:  # fmt: skip
        """Weights [rows, columns] and scales [rows]."""
        classes = None
        if weights is not None:
            assert scales is not None
            same = np.zeros(rows, bool)
            same[1:] = (weights[1:] == weights[:-1]).all(axis=1) & (scales[1:] == scales[:-1])
            classes = np.where(same, _SAME, _row_class(weights)).astype(np.uint8)
        classes = self._classes.code(self._coder, 0, rows, classes)
        new = np.flatnonzero(classes != _SAME)
        if rows and (not len(new) or new[0]):
            raise CorruptError("the first row of a matrix cannot repeat another")
        found = np.zeros((rows, columns), np.int8)
        for context in np.unique(classes[new]).tolist():
            mine = new[classes[new] == context]
            if not context:
                continue
            part = None
            if weights is not None:
                part = weights[mine].reshape(-1).view(np.uint8) ^ np.uint8(128)
            coded = self._weights.code(self._coder, context, len(mine) * columns, part)
            found[mine] = (coded ^ np.uint8(128)).view(np.int8).reshape(len(mine), columns)
        kept = np.ones(rows, np.float32)
        kept[new] = self.floats((len(new),), None if scales is None else scales[new])
        source = np.maximum.accumulate(np.where(classes != _SAME, np.arange(rows), 0))
        return found[source], kept[source]


def _byte_table() -> tuple[NDArray[np.uint32], Bytes]:
    """The token table of models without merges: a start token, then the bytes."""
    offsets = np.concatenate([[0], np.arange(257)]).astype(np.uint32)
    return offsets, np.arange(256, dtype=np.uint8)


@dataclasses.dataclass(frozen=True)
class Squeezed:
    """A file, and what is in it."""

    data: bytes
    parts: dict[str, int]
    """Bytes by what they are for; they sum to the file."""

    @property
    def decoder_bytes(self) -> int:
        """What decoding texts needs: without the JSON that only tokenizing takes, and notes."""
        return len(self.data) - self.parts["tokenizer"] - self.parts["notes"]


def _section(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def squeeze(pack: Pack, *, progress: Progress | None = None) -> Squeezed:
    """The pack as a file that `unsqueeze` turns back."""
    config, tensors = pack.config, pack.tensors
    expected = expected_tensors(config)
    turns = tensors["rope.turns"]
    theta = next((i for i, t in enumerate(_THETAS, 1)
                  if np.array_equal(rope_turns(config.head_width, t, None), turns)), 0)  # fmt: skip
    offsets, table = _byte_table()
    named = np.array_equal(tensors["tokens.offsets"], offsets) and np.array_equal(
        tensors["tokens.bytes"], table
    )
    tokens = b""
    if not named:
        lengths = np.diff(tensors["tokens.offsets"].astype(np.int64))
        packed = lengths.astype("<u2") if lengths.max() < 1 << 16 else lengths.astype("<u4")
        raw = bytes([packed.itemsize]) + packed.tobytes() + tensors["tokens.bytes"].tobytes()
        tokens = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
    encoder: Encoder = new_encoder()
    coding = _Coding(encoder, encoding=True)
    matrices = _matrices(config)
    for number, (name, rows, columns) in enumerate(matrices):
        is_table = name.endswith(".rows")
        numbers = tensors[name] if is_table else pack.matrix(name)
        coding.matrix(rows, columns, numbers, tensors[_scales(name)])
        if progress is not None:
            progress("squeezing", number + 1, len(matrices))
    for name in _vectors(config):
        coding.floats(expected[name][1], tensors[name])
    if not theta:
        coding.floats((len(turns) * 2,), turns.view("<u4").view("<f4"))
    weights = encoder.finish()
    notes = json.dumps([pack.name, pack.selftest, pack.notes], sort_keys=True).encode()
    sections = {
        "shape": bytes([theta, named]) + _short_config(config),
        "weights": weights,
        "token table": tokens,
        "other tensors": _pack_others(pack),
        "tokenizer": lzma.compress(pack.tokenizer_json.encode(), preset=9 | lzma.PRESET_EXTREME),
        "notes": notes,
        "identity": pack.identity,
    }
    parts = {name: len(_section(data)) for name, data in sections.items()}
    parts["shape"] += len(MAGIC)
    data = MAGIC + b"".join(map(_section, sections.values()))
    assert sum(parts.values()) == len(data)
    return Squeezed(data, parts)


def _pack_others(pack: Pack) -> bytes:
    """What a pack may hold besides its model, such as a start of mixing; compressed."""
    known = {*expected_tensors(pack.config), "tokens.bytes"}
    names = sorted(set(pack.tensors) - known)
    if not names:
        return b""
    found = [np.ascontiguousarray(pack.tensors[name]) for name in names]
    header = [(n, t.dtype.str, list(t.shape)) for n, t in zip(names, found, strict=True)]
    text = json.dumps(header).encode()
    body = b"".join(t.tobytes() for t in found)
    raw = len(text).to_bytes(4, "little") + text + body
    return lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)


def _unpack_others(data: bytes) -> Tensors:
    """Raises ValueError, TypeError or LZMAError for what `_pack_others` did not write."""
    if not data:
        return {}
    raw = lzma.decompress(data)
    start = 4 + int.from_bytes(raw[:4], "little")
    found: Tensors = {}
    for name, kind, shape in json.loads(raw[4:start]):
        dtype = np.dtype(kind)
        end = start + dtype.itemsize * int(np.prod(shape))
        found[name] = np.frombuffer(raw[start:end], dtype).reshape(shape)
        start = end
    return found


def _short_config(config: ModelConfig) -> bytes:
    """The config's values in the order of its fields, compressed."""
    return lzma.compress(config.to_json().encode(), format=lzma.FORMAT_RAW, filters=_RAW)


_RAW = [{"id": lzma.FILTER_LZMA2, "preset": 9}]


def decoder_bytes(pack: Pack, *, progress: Progress | None = None) -> int:
    """Bytes that a message with its model would take more: the honest second part of a code."""
    return squeeze(pack, progress=progress).decoder_bytes


def _matrices(config: ModelConfig) -> list[tuple[str, int, int]]:
    """Name, rows and columns of every matrix, in the order of files."""
    found = []
    for name, (_dtype, shape) in sorted(expected_tensors(config).items()):
        if name.endswith(".scale"):
            base = name.removesuffix(".scale")
            columns = {
                "o": config.heads * config.head_width,
                "down": config.ffn_width,
                "proj": config.ngram_width,
            }.get(base.rpartition(".")[2], config.width)
            found.append((base, shape[0], columns))
        elif name.endswith(".rows"):
            found.append((name, shape[0], shape[1]))
    return found


def _scales(name: str) -> str:
    """The tensor with the scales of a matrix's rows, or the steps of a table's."""
    return f"{name.removesuffix('.rows')}.steps" if name.endswith(".rows") else f"{name}.scale"


def _vectors(config: ModelConfig) -> list[str]:
    """Gains and biases, in the order of files."""
    return [
        name for name, (dtype, shape) in sorted(expected_tensors(config).items())
        if dtype == np.dtype("<f4") and len(shape) == 1 and not name.endswith((".scale", ".steps"))
    ]  # fmt: skip


def unsqueeze(data: bytes) -> Pack:
    """The pack of a squeezed file, its identity checked. Raises CorruptError."""
    source = io.BytesIO(data)
    if source.read(len(MAGIC)) != MAGIC:
        raise CorruptError("not a file of squeezed weights")

    def section() -> bytes:
        size = int.from_bytes(source.read(4), "little")
        found = source.read(size)
        if len(found) != size:
            raise CorruptError("the squeezed weights are cut short")
        return found

    shape, weights, tokens, others, tokenizer, notes, identity = (section() for _ in range(7))
    try:
        theta, named = shape[0], bool(shape[1])
        config = ModelConfig.from_json(
            lzma.decompress(shape[2:], format=lzma.FORMAT_RAW, filters=_RAW).decode()
        )
        tokenizer_json = lzma.decompress(tokenizer).decode()
        name, selftest, kept_notes = json.loads(notes)
        more = _unpack_others(others)
        offsets, table = _byte_table() if named else _table(lzma.decompress(tokens))
        turns = rope_turns(config.head_width, _THETAS[theta - 1], None) if theta else None
    except (lzma.LZMAError, ValueError, IndexError, TypeError) as error:
        raise CorruptError(f"bad squeezed weights: {error}") from None
    coding = _Coding(new_decoder(weights), encoding=False)
    expected = expected_tensors(config)
    tensors: Tensors = {}
    for base, rows, columns in _matrices(config):
        found, scales = coding.matrix(rows, columns, None, None)
        if base.endswith(".rows"):
            tensors[base] = found
        else:
            tensors[f"{base}.weight"] = tile_matrix(found)
        tensors[_scales(base)] = scales
    for vector in _vectors(config):
        tensors[vector] = coding.floats(expected[vector][1], None)
    if turns is None:
        turns = coding.floats((config.head_width,), None).view("<u4").view("<u8")
    tensors |= {"rope.turns": turns, "tokens.offsets": offsets, "tokens.bytes": table}
    tensors |= more
    if pack_identity(config, tensors) != identity:
        raise CorruptError("the squeezed weights do not give the identity that they name")
    return Pack(config, tensors, identity, name, tokenizer_json, kept_notes, selftest)


def _table(raw: bytes) -> tuple[NDArray[np.uint32], Bytes]:
    """Offsets and bytes of a token table; its number of tokens follows from the lengths' sum."""
    size = raw[0]
    body = np.frombuffer(raw, np.uint8)[1:]
    # `count` lengths and as many bytes as they sum to fill the rest: find where they meet.
    every = body[: len(body) // size * size].view(f"<u{size}").astype(np.int64)
    ends = np.cumsum(every) + size * np.arange(1, len(every) + 1)
    at = int(np.searchsorted(ends, len(body)))
    if at >= len(ends) or ends[at] != len(body):
        raise ValueError("the token table's lengths do not fit its bytes")
    offsets = np.concatenate([[0], np.cumsum(every[: at + 1])]).astype(np.uint32)
    return offsets, body[size * (at + 1) :].copy()


def coarsen(pack: Pack, *, step: int = 0, prune: float = 0.0) -> Pack:
    """The pack with weights that are multiples of 2^step, the smallest part `prune` of each matrix
    zero, scales on a logarithmic grid and gains of eight bits. Not changed at all for 0 and 0.

    Weights are rounded as the engine holds them, behind the rotation that spreads them out. Raises
    UsageError for a step outside 0..6 or a part outside 0..1. The self-test's answer is another
    one and is left out.
    """
    if not 0 <= step <= _MOST_STEP:
        raise UsageError(f"a step must be between 0 and {_MOST_STEP}, not {step}")
    if not 0 <= prune < 1:
        raise UsageError(f"the fraction to prune must be at least 0 and below 1, not {prune}")
    if not step and not prune:
        return pack
    tensors = dict(pack.tensors)
    unit = 1 << step
    most = INT8_MAX // unit * unit
    for name, _rows, _columns in _matrices(pack.config):
        table = name.endswith(".rows")
        weights = (tensors[name] if table else pack.matrix(name)).astype(np.float64)
        scales = tensors[_scales(name)].astype(np.float64)
        if prune:
            size = np.abs(weights * scales[:, None])
            weights[size < np.quantile(size, prune)] = 0
        grid = _on_grid(scales)
        weights *= (scales / grid.astype(np.float64))[:, None]
        coarse = np.clip(unit * np.rint(weights / unit), -most, most)
        if table:
            tensors[name] = coarse.astype(np.int8)
        else:
            tensors[f"{name}.weight"] = tile_matrix(coarse.astype(np.int8))
        tensors[_scales(name)] = grid
    for name in _vectors(pack.config):
        tensors[name] = _eight_bits(tensors[name])
    identity = pack_identity(pack.config, tensors)
    label = f"{pack.name}-j{step}" + (f"-q{prune:g}" if prune else "")
    return dataclasses.replace(
        pack, tensors=tensors, identity=identity, name=label, selftest="", path=None
    )


def _on_grid(scales: NDArray[np.float64]) -> NDArray[np.float32]:
    """The next greater numbers 2^(k/16), rounded to eight bits so that two bytes hold them."""
    k = np.ceil(_GRID * np.log2(scales))
    return _eight_bits(np.exp2(k / _GRID).astype(np.float32))


def _eight_bits(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest numbers whose lower two bytes are zero."""
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((raw + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def squeezed_file(path: Path) -> bytes:
    """A squeezed file's bytes. Raises CorruptError if it is none."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise CorruptError(f"{path.name}: not a file of squeezed weights")
    return data
