"""Archives as native/tests/decode.cpp takes them: `python -m tests.foreign FILE`.

The containers are read here; what the blocks hold is decoded there, on any processor.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

import lmzip
from lmzip.codec import CodecModel, OneModel
from lmzip.engine import Pack
from lmzip.format import Block, Trailer, read_block_or_trailer, read_header, read_short
from lmzip.mix import MixingStart, table_bits
from lmzip.models.source import load_model

from .golden.archives import CASES, HERE


def _array(values: Any, dtype: str) -> bytes:
    data = np.ascontiguousarray(values, np.dtype(dtype)).tobytes()
    return len(data).to_bytes(8, "little") + data


def model_bytes(pack: Pack, start: MixingStart | None) -> bytes:
    """The model: config, weights, token table, mixing's start."""
    c, t = pack.config, pack.tensors
    numbers = [c.layers, c.width, c.heads, c.kv_heads, c.head_width, c.ffn_width, c.vocab, c.bos,
               c.tied, c.qkv_bias, c.qk_norm]  # fmt: skip
    out = [_array(numbers, "<u8"), _array([c.norm_eps, c.score_scale], "<f4"),
           _array(c.suppressed, "<i4")]  # fmt: skip

    def floats(name: str) -> None:
        out.append(_array(t[name], "<f4"))

    def matrix(name: str) -> None:
        out.append(_array(t[f"{name}.weight"], "u1"))
        floats(f"{name}.scale")

    matrix("embed")
    if not c.tied:
        matrix("head")
    floats("norm")
    out.append(_array(t["rope.turns"], "<u8"))
    for i in range(c.layers):
        floats(f"layers.{i}.attention_norm")
        floats(f"layers.{i}.ffn_norm")
        for name in ("qkv", "o", "gate_up", "down"):
            matrix(f"layers.{i}.{name}")
        if c.qkv_bias:
            floats(f"layers.{i}.qkv.bias")
        if c.qk_norm:
            floats(f"layers.{i}.q_norm")
            floats(f"layers.{i}.k_norm")
    out += [_array(t["tokens.offsets"], "<u4"), _array(t["tokens.bytes"], "u1")]
    out.append(_array([] if start is None else start.weights, "i1"))
    out.append(_array([] if start is None else start.finals, "<i2"))
    out.append(_array([] if start is None else start.maps, "<u2"))
    return b"".join(out)


def modelled_blocks(name: str, blob: bytes) -> list[bytes]:
    """The blocks of an archive that a model has coded, without side information and not solid."""
    source, found = io.BytesIO(blob), []
    while (read := read_header(source)) is not None:
        header, taken = read
        reference = header.model
        blocks: list[Block] = []
        if header.short:
            blocks.append(read_short(source, header, taken)[0])
        else:
            while not isinstance((item := read_block_or_trailer(source)[0]), Trailer):
                blocks.append(item)
        for block in blocks:
            if not block.kind.modelled:
                continue
            assert reference is not None and not block.kind.given and not reference.solid
            bits = table_bits(block.tokens, reference.mixing_bits) if block.kind.mixed else 0
            numbers = [block.tokens, reference.window, reference.sinks, reference.stream_tokens,
                       reference.streams_at_once, bits, block.content_bytes, block.content_crc,
                       block.crc_seed]  # fmt: skip
            found.append(
                _array(list(name.encode()), "u1")
                + _array(numbers, "<u8")
                + _array(np.frombuffer(block.payload, np.uint8), "u1")
            )
    return found


def flat(model: CodecModel, pack: Pack, archives: dict[str, bytes]) -> bytes:
    """All of them."""
    blocks = [b for name, blob in archives.items() for b in modelled_blocks(name, blob)]
    return model_bytes(pack, model.mixing) + _array([len(blocks)], "<u8") + b"".join(blocks)


def golden() -> bytes:
    """The golden texts but the long one, compressed here and now as the golden archives are."""
    pack = Pack.open(HERE / "golden-tiny.lmzpack")
    model = load_model(pack, threads=1)
    archives = {
        name: lmzip.compress(content, model=OneModel(model), parameters=parameters)
        for name, (content, parameters) in CASES.items()
        if name != "long"
    }
    return flat(model, pack, archives)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(golden())
