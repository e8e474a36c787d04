"""What is fuzzed: for each target its seeds, how an input is made, and what reads it.

A target's `run` may raise LmzipError (or what its own contract names) and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lmzip.errors import LmzipError

from . import mutate
from .base import Target
from .coding import Blocks, Given, RoundTrips, tiny_models, unchecked
from .native import Mixing, Ranges

GOLDEN = Path(__file__).parent.parent / "golden"


def archives() -> list[bytes]:
    """Small ones, of all layouts and kinds, without a model."""
    from lmzip.format import (
        PARAMETER_SETS, Block, BlockKind, Header, ModelReference, SideReference, SideSource, Thoughts,
        Trailer, content_crc, pack_short,
    )  # fmt: skip

    text = b"The text of a block."
    sides = [
        None,
        SideReference(SideSource.GIVEN, 9, b"abcd", 1, 5),
        SideReference(SideSource.NOWHERE, 0, b"", 1, 0, Thoughts(3, 2, 1, 7, 40, b"a", b"b", 5)),
    ]
    found = []
    for number, side in enumerate(sides):
        for solid in (False, True)[: 1 + (side is None)]:
            model = ModelReference(b"abcd", "x" * number, *PARAMETER_SETS[number], solid=solid)
            header = Header(model, len(text) if number else None, side).pack()
            kinds = list(BlockKind)
            blocks = [
                Block(k, len(text), content_crc(text), text, 4 if k.modelled else 0).pack()
                for k in kinds
            ]
            index = tuple((len(text), len(b)) for b in blocks)
            found.append(header + b"".join(blocks) + Trailer(len(header), index, bytes(8)).pack())
    for kind in BlockKind:
        model = ModelReference(b"abcd", "", *PARAMETER_SETS[2]) if kind.modelled else None
        head = Header(model, None, sides[1] if kind.given else None, kind)
        block = Block(kind, len(text), 0, text, 4 if kind.modelled else 0)
        found.append(pack_short(head, block, text) or b"")
    return [*found, found[0] + found[-1], found[-1] + found[1]]


class Container(Target):
    """Headers, blocks and trailers from front to back, with checksums and without."""

    modules = ("format/header.py", "format/block.py", "format/trailer.py", "format/short.py",
               "format/fields.py")  # fmt: skip

    def __init__(self) -> None:
        self.seeds = archives()

    def run(self, data: bytes) -> None:
        with contextlib.suppress(LmzipError):
            self._read(data)
        with unchecked():
            self._read(data)

    def _read(self, data: bytes) -> None:
        from lmzip.format import Trailer, read_block_or_trailer, read_header, read_short

        source = io.BytesIO(data)
        while (found := read_header(source)) is not None:
            header, taken = found
            assert len(taken) <= len(data)
            if header.short:
                read_short(source, header, taken)
                continue
            blocks = 0
            while True:
                item, _size = read_block_or_trailer(source, blocks)
                if isinstance(item, Trailer):
                    break
                blocks += 1
                assert item.content_bytes <= 1 << 24


class Scan(Target):
    """The map of a file and what is reckoned from it."""

    modules = ("format/scan.py", "codec/ledger.py")

    def __init__(self) -> None:
        self.seeds = archives()

    def run(self, data: bytes) -> None:
        from lmzip.codec import ArchiveIndex, ledger

        with unchecked():
            index = ArchiveIndex(io.BytesIO(data))
            index.kinds()
            assert index.content_bytes >= 0
            for number in range(len(index.archives)):
                index.work(number)
            assert sum(item.bits for item in ledger(index)) == 8 * len(data)


class Sections(Target):
    """Model and side sections by themselves."""

    modules = ("format/reference.py", "format/side.py", "codec/work.py")

    def __init__(self) -> None:
        from lmzip.format import PARAMETER_SETS, ModelReference, SideReference, SideSource, Thoughts

        thoughts = Thoughts(3, 2, 1, 7, 40, b"before", b"behind", 5)
        self.seeds = [b"\0" + ModelReference(b"abcd", "ab", *PARAMETER_SETS[0]).pack()]
        self.seeds += [b"\0" + ModelReference(b"abcd", "", 1, 9, 2, 30, 4, 1, 12).pack()]
        for source in SideSource:
            side = SideReference(source, 9, b"abcd", 1, 5, thoughts)
            self.seeds += [b"\1" + side.pack(model=True), b"\2" + side.pack(model=False)]

    def run(self, data: bytes) -> None:
        from lmzip.codec.work import block_work
        from lmzip.format import PARAMETER_SETS, ModelReference, SideReference
        from lmzip.format.fields import Reader

        reader = Reader(io.BytesIO(data[1:]))
        if data[:1] == b"\0":
            model = ModelReference.unpack(reader, solid=False)
            assert ModelReference.unpack(Reader(io.BytesIO(model.pack())), solid=False) == model
            return
        with_model = data[:1] == b"\1"
        side = SideReference.unpack(reader, model=with_model)
        again = Reader(io.BytesIO(side.pack(model=with_model)))
        assert SideReference.unpack(again, model=with_model) == side
        if with_model:
            block_work(ModelReference(b"abcd", "", *PARAMETER_SETS[0]), side, 1000)


class _File(Target):
    """Readers that take a path."""

    ending = ""

    @functools.cached_property
    def path(self) -> Path:
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        folder = tempfile.mkdtemp(dir=place)
        import atexit
        import shutil

        atexit.register(shutil.rmtree, folder, True)
        return Path(folder) / f"input{self.ending}"

    def write(self, data: bytes) -> Path:
        self.path.write_bytes(data)
        return self.path


class Packs(_File):
    """Safetensors headers, and packs around them."""

    modules = ("engine/weights.py", "text/vocabulary.py")

    ending = ".lmzpack"

    def __init__(self) -> None:
        data = (GOLDEN / "golden-tiny.lmzpack").read_bytes()
        size = int.from_bytes(data[:8], "little")
        self._header = json.loads(data[8 : 8 + size])
        self._body = data[8 + size :]
        self.seeds = [data[8 : 8 + size]]
        self._bases = [
            self._header,
            {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}},
        ]

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        base = rng.choice(self._bases)
        if rng.random() < 0.3 and "__metadata__" in base:
            meta = base["__metadata__"]
            key = rng.choice(
                ("lmzip.config", "lmzip.notes", "lmzip.pack", "lmzip.identity", "lmzip.numerics")
            )
            changed: Any = rng.choice(mutate.VALUES)
            if key == "lmzip.config" and rng.random() < 0.8:
                changed = mutate.json_text(
                    rng, mutate.mutate_json(rng, json.loads(meta[key]))
                ).decode("utf-8", "replace")
            return json.dumps(base | {"__metadata__": meta | {key: changed}}).encode()
        return mutate.json_text(rng, mutate.mutate_json(rng, base))

    def run(self, data: bytes) -> None:
        from lmzip.engine import Pack
        from lmzip.text import Vocabulary

        head = len(data).to_bytes(8, "little") if not data.startswith(b"RAW") else b""
        path = self.write(head + data.removeprefix(b"RAW") + self._body)
        pack = Pack.open(path, verify=False)
        Vocabulary(pack.tensors["tokens.offsets"], pack.tensors["tokens.bytes"])
        with contextlib.suppress(LmzipError):
            pack.verify()


class Tokenizers(Target):
    """The JSON of tokenizers: when a model is added, and when a pack's text is tokenized."""

    modules = ("models/vocabulary.py", "text/tokenizer.py")

    def __init__(self) -> None:
        from ..tiny import tokenizer_json

        small = json.loads(tokenizer_json())
        fallback = json.loads(tokenizer_json())
        fallback["pre_tokenizer"] = None
        fallback["model"] |= {
            "byte_fallback": True,
            "vocab": {f"<0x{b:02X}>": b for b in range(256)},
            "merges": [],
        }
        self._bases = [small, fallback]
        self.seeds = [json.dumps(base).encode() for base in self._bases]

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        return mutate.json_text(rng, mutate.mutate_json(rng, rng.choice(self._bases)))

    def run(self, data: bytes) -> None:
        from lmzip.models.vocabulary import token_table

        text = data.decode("utf-8", "replace")
        with contextlib.suppress(LmzipError):
            token_table(text, 290, 0)
        self._tokenize(text)

    @staticmethod
    def _tokenize(text: str) -> None:
        from lmzip.text import Tokenizer

        vocabulary = tiny_models().model.tokenizer.vocabulary
        sample = b"The text, \xff it is\n\n the  1 text."
        tokenizer = Tokenizer(vocabulary, text)
        assert vocabulary.detokenize(tokenizer.tokenize(sample)) == sample


class Manifests(Target):
    """TOML of sets of texts."""

    modules = ("corpora/manifest.py",)

    words = [b'"', b"=", b"[[files]]\n", b"[local]\n", b"bytes = ", b"-1", b"'..'", b"\n", b"1e999", b"inf",
             b"{", b"[", b"0x" + b"f" * 40, b"1979-05-27", b"\\u0000", b'"""', b"\xff", b"file://[", b"//"]  # fmt: skip

    def __init__(self) -> None:
        from lmzip.corpora.manifest import (
            CorpusFile, LocalFiles, Manifest, Source, manifest_text,
        )  # fmt: skip

        files = (CorpusFile("a/b.txt", 3, "0" * 64), CorpusFile("c", 0, "f" * 64))
        sources = (Source("https://example.org/x.tar.gz", 7, "a" * 64), Source("file:///x/"))
        local = LocalFiles("{stdlib}", ("*.py",), ("x",))
        self.seeds = [
            manifest_text(
                Manifest(
                    "n", "about", "free", "https://example.org", files, sources, None, Path("x")
                )
            ).encode(),
            manifest_text(Manifest("n", "about", "free", "", (), (), local)).encode(),
        ]

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        return mutate.mutate_bytes(rng, rng.choice(pool), pool, self.words)

    def run(self, data: bytes) -> None:
        from lmzip.corpora.manifest import manifest_text, parse_manifest

        found = parse_manifest(data.decode("utf-8", "replace"), "input")
        assert parse_manifest(manifest_text(found), "again") == found


class Rows(_File):
    """JSON Lines as documents, plain and packed."""

    modules = ("measure/documents.py",)

    ending = ".jsonl"

    def __init__(self) -> None:
        import bz2
        import gzip
        import lzma

        import zstandard

        plain = b'{"text": "One line.", "n": 1}\n{"text": "Another \\u00e9\\ud800"}\n\n{"text": 7}\n[1]\n'
        packers: dict[str, Callable[[bytes], bytes]] = {
            "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
            ".zst": zstandard.ZstdCompressor().compress,
        }  # fmt: skip
        self._endings = list(packers)
        self.seeds = [bytes([i]) + pack(plain) for i, pack in enumerate(packers.values())]
        self.seeds.append(self.seeds[0])

    def run(self, data: bytes) -> None:
        from lmzip.measure.documents import find_documents

        ending = self._endings[(data[0] if data else 0) % len(self._endings)]
        path = self.path.with_name(f"input.jsonl{ending}")
        path.write_bytes(data[1:])
        for document in find_documents([str(path)], field="text"):
            with contextlib.suppress(LmzipError):
                document.read()


class Results(_File):
    """The file that keeps measurements."""

    modules = ("measure/results.py", "rowfile.py")

    ending = ".jsonl"

    def __init__(self) -> None:
        from lmzip.measure.results import Measurement

        row = Measurement(
            "a", "0" * 64, "m", "archive", "id", 9, 0.5, 7, 3.5, settings={"window": 3}
        )
        self._row = row.as_dict()
        self.seeds = [json.dumps(self._row, sort_keys=True).encode() + b"\n"]

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        if rng.random() < 0.5:
            return super().make(rng, pool)
        return mutate.json_text(rng, mutate.mutate_json(rng, self._row)) + b"\n"

    def run(self, data: bytes) -> None:
        from lmzip.measure.results import ResultStore

        ResultStore(self.write(data))


class Matrices(_File):
    """CSV matrices of distances."""

    modules = ("complexity/neighbours.py",)

    ending = ".csv"

    def __init__(self) -> None:
        self.seeds = [b",a,b\na,0,0.5\nb,0.5,0\n", b"name,label\na,x\nb,y\n", b'"a\n",x\r\n']

    def run(self, data: bytes) -> None:
        from lmzip.complexity.neighbours import read_labels

        read_labels(self.write(data), ["a", "b"])


class Configs(Target):
    """The config of a pack and of a checkpoint."""

    modules = ("engine/config.py",)

    def __init__(self) -> None:
        from ..tiny import config_json

        pack = json.loads(Packs()._header["__metadata__"]["lmzip.config"])
        self._bases = [pack, config_json("llama"), config_json("qwen3", rope_scaling={
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 512})]  # fmt: skip
        self.seeds = [json.dumps(base).encode() for base in self._bases]

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        return mutate.json_text(rng, mutate.mutate_json(rng, rng.choice(self._bases)))

    def run(self, data: bytes) -> None:
        from lmzip.engine.config import ModelConfig

        ModelConfig.from_json(data.decode("utf-8", "replace"))


class Ggufs(_File):
    """GGUF files."""

    modules = ("models/gguf_checkpoint.py", "models/gguf_bounds.py")

    ending = ".gguf"

    def __init__(self) -> None:
        import gguf

        from ..tiny import tokenizer_json

        writer = gguf.GGUFWriter(self.path, "llama")
        model = json.loads(tokenizer_json())["model"]
        for name, value in (("block_count", 1), ("embedding_length", 16), ("feed_forward_length", 32),
                            ("context_length", 64)):  # fmt: skip
            writer.add_uint32(f"llama.{name}", value)
        writer.add_head_count(2)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(list(model["vocab"])[:8])
        writer.add_token_types([1] * 8)
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(0)
        writer.add_tensor("token_embd.weight", np.zeros((8, 16), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        self.seeds = [self.path.read_bytes()]

    def run(self, data: bytes) -> None:
        from lmzip.models.gguf_checkpoint import read_gguf

        checkpoint = read_gguf(self.write(data), "x")
        checkpoint.tensor("model.embed_tokens.weight")


TARGETS: dict[str, Callable[[], Target]] = {
    "container": Container, "scan": Scan, "sections": Sections, "blocks": Blocks, "given": Given, "packs": Packs,
    "configs": Configs, "tokenizers": Tokenizers, "manifests": Manifests, "rows": Rows,
    "results": Results, "labels": Matrices, "gguf": Ggufs, "ranges": Ranges, "mixing": Mixing,
    "roundtrips": RoundTrips,
}  # fmt: skip
