"""An exact model pack: one safetensors file with integer weights (FORMAT.md, "Packs").

The reader maps the file and hands out views; nothing is copied, and processes share the pages. The
matrices lie in tiles, as the native kernels read them. The *identity* of a pack is a hash over its
config and tensors alone, so that a name or a licence note never changes it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, VersionError
from .arithmetic import INT8_MAX, NUMERICS_VERSION
from .config import ModelConfig

__all__ = [
    "PACK_VERSION",
    "Pack",
    "Tensors",
    "expected_tensors",
    "pack_identity",
    "read_safetensors",
    "tile_matrix",
    "untile_matrix",
]

PACK_VERSION = 2

TILE_ROWS, TILE_COLUMNS = 16, 4
"""A matrix lies in tiles of 16 rows by 4 columns: what one vector instruction multiplies."""

TILE_OFFSET = 128
"""Added to weights in a pack: vpdpbusd wants one operand unsigned."""

Tensors = dict[str, NDArray[Any]]

_DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "I16": np.dtype("<i2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F64": np.dtype("<f8"),
}
_MAX_HEADER_BYTES = 64 << 20


def read_safetensors(path: str | os.PathLike[str]) -> tuple[Tensors, dict[str, str], set[str]]:
    """Mapped tensors, metadata, and the names of those stored as BF16 (shown as their 16 bits).

    Raises CorruptError if the file is not well-formed safetensors, OSError if it cannot be read.
    """
    path = Path(path)
    size = path.stat().st_size
    if size < 8:
        raise CorruptError(f"{path.name}: not a safetensors file")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    header_bytes = int.from_bytes(data[:8].tobytes(), "little")
    if header_bytes > min(_MAX_HEADER_BYTES, size - 8):
        raise CorruptError(f"{path.name}: safetensors header is longer than the file")
    body = data[8 + header_bytes :]
    tensors: Tensors = {}
    bfloat16: set[str] = set()
    try:
        header = json.loads(data[8 : 8 + header_bytes].tobytes())
        metadata = dict(header.pop("__metadata__", {}))
        for name, entry in header.items():
            dtype = _DTYPES[entry["dtype"]]
            shape = tuple(int(n) for n in entry["shape"])
            first, last = (int(n) for n in entry["data_offsets"])
            if min(shape, default=0) < 0 or not 0 <= first <= last <= len(body):
                raise ValueError(f"tensor {name} lies outside the file")
            if last - first != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"tensor {name} has a wrong length")
            raw = body[first:last]
            tensors[name] = (
                raw.view(dtype).reshape(shape)
                if first % dtype.itemsize == 0
                else np.frombuffer(raw.tobytes(), dtype).reshape(shape)
            )
            if entry["dtype"] == "BF16":
                bfloat16.add(name)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise CorruptError(f"{path.name}: bad safetensors header: {error}") from None
    except RecursionError:
        raise CorruptError(f"{path.name}: bad safetensors header: nested too deeply") from None
    return tensors, metadata, bfloat16


def expected_tensors(config: ModelConfig) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Name, dtype and shape of every weight that a pack of this config holds."""
    u1, f4 = np.dtype("u1"), np.dtype("<f4")
    expected: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
        "rope.turns": (np.dtype("<u8"), (config.head_width // 2,)),
        "tokens.offsets": (np.dtype("<u4"), (config.vocab + 1,)),
        "norm": (f4, (config.width,)),
    }

    def matrix(name: str, rows: int, columns: int) -> None:
        tiles = (-(-rows // TILE_ROWS), -(-columns // TILE_COLUMNS), TILE_ROWS, TILE_COLUMNS)
        expected[f"{name}.weight"] = (u1, tiles)
        expected[f"{name}.scale"] = (f4, (rows,))

    matrix("embed", config.vocab, config.width)
    if not config.tied:
        matrix("head", config.vocab, config.width)
    for order in config.ngrams:
        rows = (config.ngram_rows, config.ngram_width)
        expected[f"ngrams.{order}.rows"] = (np.dtype("i1"), rows)
        expected[f"ngrams.{order}.steps"] = (f4, (config.ngram_rows,))
        matrix(f"ngrams.{order}.proj", config.width, config.ngram_width)
    for layer in range(config.layers):
        prefix = f"layers.{layer}"
        expected[f"{prefix}.attention_norm"] = (f4, (config.width,))
        expected[f"{prefix}.ffn_norm"] = (f4, (config.width,))
        matrix(f"{prefix}.qkv", config.qkv_rows, config.width)
        if config.qkv_bias:
            expected[f"{prefix}.qkv.bias"] = (f4, (config.qkv_rows,))
        if config.qk_norm:
            expected[f"{prefix}.q_norm"] = (f4, (config.head_width,))
            expected[f"{prefix}.k_norm"] = (f4, (config.head_width,))
        matrix(f"{prefix}.o", config.width, config.heads * config.head_width)
        matrix(f"{prefix}.gate_up", 2 * config.ffn_width, config.width)
        matrix(f"{prefix}.down", config.width, config.ffn_width)
    return expected


def tile_matrix(rows: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Weights [N, K] as a pack stores them: [N / 16, K / 4, 16, 4], 128 larger, padded with 0."""
    count, columns = rows.shape
    padding = ((0, -count % TILE_ROWS), (0, -columns % TILE_COLUMNS))
    stored = (np.pad(rows, padding).view(np.uint8)) ^ np.uint8(TILE_OFFSET)
    tiles = stored.reshape(-1, TILE_ROWS, stored.shape[1] // TILE_COLUMNS, TILE_COLUMNS)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3))


def untile_matrix(tiles: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int8]:
    """The inverse of `tile_matrix`: int8 [rows, columns]."""
    stored = tiles.transpose(0, 2, 1, 3).reshape(len(tiles) * TILE_ROWS, -1)[:rows, :columns]
    return np.asarray(stored ^ np.uint8(TILE_OFFSET)).view(np.int8)


def pack_identity(config: ModelConfig, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The 32 bytes that name a model: SHA-256 over arithmetic, config and tensors (FORMAT.md)."""

    def digest(name: str) -> bytes:
        tensor = np.ascontiguousarray(tensors[name])
        return hashlib.sha256(tensor.data if tensor.size else b"").digest()

    names = sorted(tensors)
    with ThreadPoolExecutor(4) as pool:  # hashlib lets other threads run
        digests = list(pool.map(digest, names))
    outer = hashlib.sha256(f"lmzip pack {PACK_VERSION}\0".encode())
    outer.update(NUMERICS_VERSION.to_bytes(4, "little"))
    text = config.to_json().encode()
    outer.update(len(text).to_bytes(4, "little") + text)
    for name, inner in zip(names, digests, strict=True):
        tensor = tensors[name]
        shape = "x".join(str(n) for n in tensor.shape)
        outer.update(f"{name}\0{tensor.dtype.str}\0{shape}\0".encode() + inner)
    return outer.digest()


@dataclasses.dataclass(frozen=True)
class Pack:
    """A model ready to run: config, mapped tensors, and notes for people."""

    config: ModelConfig
    tensors: Tensors
    identity: bytes
    name: str
    tokenizer_json: str
    notes: dict[str, str]
    selftest: str
    """Hex digest of the answer to the self-test question (NUMERICS.md, section 12)."""
    path: Path | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Pack:
        """Map a pack and check its shape and, with `verify`, its identity.

        Raises CorruptError or VersionError.
        """
        path = Path(path)
        tensors, metadata, _ = read_safetensors(path)
        try:
            version = int(metadata.get("lmzip.pack", "1"))
            numerics = int(metadata["lmzip.numerics"])
            identity = bytes.fromhex(metadata["lmzip.identity"])
            config_text, name = metadata["lmzip.config"], metadata["lmzip.name"]
            tokenizer_json, selftest = metadata["lmzip.tokenizer"], metadata["lmzip.selftest"]
            notes = json.loads(metadata.get("lmzip.notes", "{}"))
            if not isinstance(notes, dict):
                raise ValueError("no notes")
            texts = (config_text, name, tokenizer_json, selftest)
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("no text")
        except (KeyError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise CorruptError(f"{path.name}: not an lmzip pack") from None
        if version != PACK_VERSION:
            raise VersionError(
                f"{path.name} is a pack of version {version}; this program reads {PACK_VERSION}: "
                "pull or convert the model again"
            )
        if numerics != NUMERICS_VERSION:
            raise VersionError(
                f"{path.name} was made for arithmetic version {numerics}; this program has version "
                f"{NUMERICS_VERSION}"
            )
        config = ModelConfig.from_json(config_text)
        for key, (dtype, shape) in expected_tensors(config).items():
            tensor = tensors.get(key)
            if tensor is None or tensor.dtype != dtype or tensor.shape != shape:
                raise CorruptError(f"{path.name}: tensor {key} is missing or has a wrong shape")
        if "tokens.bytes" not in tensors or tensors["tokens.bytes"].dtype != np.uint8:
            raise CorruptError(f"{path.name}: tensor tokens.bytes is missing")
        pack = cls(config, tensors, identity, name, tokenizer_json, notes, selftest, path)
        if verify:
            pack.verify()
        return pack

    def verify(self) -> None:
        """Read all weights and compare them with the identity. Raises CorruptError."""
        name = self.path.name if self.path else self.name
        if pack_identity(self.config, self.tensors) != self.identity:
            raise CorruptError(f"{name}: the weights do not match the pack's identity")
        for key, tensor in self.tensors.items():
            if key.endswith(".weight") and tensor.min() < TILE_OFFSET - INT8_MAX:
                raise CorruptError(f"{name}: {key} holds -128, which is no weight")
            if key.endswith(".rows") and tensor.min() < -INT8_MAX:
                raise CorruptError(f"{name}: {key} holds -128, which is no weight")

    def matrix(self, name: str) -> NDArray[np.int8]:
        """The weights [N, K] of that name, untiled: a copy."""
        columns = {
            "o": self.config.heads * self.config.head_width,
            "down": self.config.ffn_width,
            "proj": self.config.ngram_width,
        }.get(name.rpartition(".")[2], self.config.width)
        rows = len(self.tensors[f"{name}.scale"])
        return untile_matrix(self.tensors[f"{name}.weight"], rows, columns)

    def size_bytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(t.nbytes for t in self.tensors.values())
