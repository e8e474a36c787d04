"""Compressed weights: the identity comes back, coarser weights are fewer bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.engine import Pack
from lmzip.errors import CorruptError, UsageError
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.source import load_model
from lmzip.models.squeeze import coarsen, decoder_bytes, squeeze, unsqueeze
from lmzip.models.store import ModelStore

from . import tiny


@pytest.fixture(params=["golden", "llama", "qwen2", "qwen3", "untied", "scaled", "lmzip"])
def pack(request, tiny_pack, tmp_path):
    if request.param == "golden":
        return tiny_pack
    kind = request.param if request.param.startswith(("qwen", "lmzip")) else "llama"
    if kind == "lmzip":
        changes = {"ngrams": [2, 3], "ngram_rows": 50, "ngram_width": 20}
        return build_pack(read_folder(tiny.write_folder(tmp_path / "m", kind, **changes), "m"))
    changes = {"tie_word_embeddings": False} if request.param == "untied" else {}
    if request.param == "scaled":  # rotary angles that no base gives
        changes = {"rope_scaling": {"type": "linear", "factor": 3.0}}
    return build_pack(read_folder(tiny.write_folder(tmp_path / "m", kind, **changes), "m"))


def test_the_identity_comes_back(pack):
    squeezed = squeeze(pack)
    back = unsqueeze(squeezed.data)
    assert back.identity == pack.identity
    assert (back.config, back.tokenizer_json, back.name, back.notes, back.selftest) == (
        pack.config, pack.tokenizer_json, pack.name, pack.notes, pack.selftest
    )  # fmt: skip
    assert sorted(back.tensors) == sorted(pack.tensors)
    assert sum(squeezed.parts.values()) == len(squeezed.data)
    assert squeezed.decoder_bytes < len(squeezed.data)


def test_packs_that_come_with_lmzip(tmp_path):
    store = ModelStore(tmp_path)
    for model in store.installed():
        pack = store.open(model.name, verify=False)
        data = squeeze(pack).data
        assert unsqueeze(data).identity == pack.identity
        assert len(data) < 0.95 * model.size_bytes


def test_coarser_weights(tiny_pack):
    sizes = []
    for step in range(7):
        coarse = coarsen(tiny_pack, step=step)
        weights = coarse.matrix("embed").astype(int)
        assert (weights % (1 << step) == 0).all() and np.abs(weights).max() <= 127
        squeezed = squeeze(coarse)
        assert unsqueeze(squeezed.data).identity == coarse.identity
        sizes.append(squeezed.parts["weights"])
    assert sizes == sorted(set(sizes), reverse=True)
    assert coarsen(tiny_pack) is tiny_pack
    bits = 8 * sizes[4] / tiny_pack.config.parameters()
    assert 2.5 < bits < 4.2


def test_coarser_rows_of_ngrams(tmp_path):
    changes = {"ngrams": [2, 3], "ngram_rows": 50, "ngram_width": 20}
    pack = build_pack(read_folder(tiny.write_folder(tmp_path / "m", "lmzip", **changes), "m"))
    coarse = coarsen(pack, step=3)
    assert (coarse.tensors["ngrams.2.rows"] % 8 == 0).all()
    assert unsqueeze(squeeze(coarse).data).identity == coarse.identity


def test_pruned_weights(tiny_pack):
    pruned = coarsen(tiny_pack, prune=0.75)
    for name in ("embed", "layers.0.down"):
        assert (pruned.matrix(name) == 0).mean() == pytest.approx(0.75, abs=0.05)
    assert decoder_bytes(pruned) < decoder_bytes(coarsen(tiny_pack, step=1))
    assert unsqueeze(squeeze(pruned).data).identity == pruned.identity


def test_a_coarse_pack_still_codes(tiny_pack):
    import lmzip
    from lmzip.codec import OneModel

    models = OneModel(load_model(coarsen(tiny_pack, step=2), threads=1, tokenizing=True))
    text = b"It was the best of times, it was the worst of times. " * 3
    blob = lmzip.compress(text, model=models)
    assert lmzip.decompress(blob, model=models) == text


def test_rows_that_repeat_cost_nothing(tiny_pack):
    import dataclasses

    from lmzip.engine.weights import pack_identity, tile_matrix

    rows = tiny_pack.matrix("embed").copy()
    scales = tiny_pack.tensors["embed.scale"].copy()
    rows[100:], scales[100:] = rows[100], scales[100]
    tensors = tiny_pack.tensors | {"embed.weight": tile_matrix(rows), "embed.scale": scales}
    identity = pack_identity(tiny_pack.config, tensors)
    pack = dataclasses.replace(tiny_pack, tensors=tensors, identity=identity)
    saved = squeeze(tiny_pack).parts["weights"] - squeeze(pack).parts["weights"]
    assert saved > 0.9 * (len(rows) - 100) * rows.shape[1]
    assert unsqueeze(squeeze(pack).data).identity == identity


def test_other_tensors_come_back(tiny_pack):
    import dataclasses

    from lmzip.engine.weights import pack_identity

    more = {"mixing.made-up": np.arange(-300, 300, dtype="<i2"), "mixing.b": np.zeros(3, np.uint8)}
    tensors = {n: t for n, t in tiny_pack.tensors.items() if not n.startswith("mixing.")} | more
    identity = pack_identity(tiny_pack.config, tensors)
    pack = dataclasses.replace(tiny_pack, tensors=tensors, identity=identity)
    squeezed = squeeze(pack)
    assert squeezed.parts["other tensors"] > 100
    back = unsqueeze(squeezed.data)
    assert back.identity == identity
    np.testing.assert_array_equal(back.tensors["mixing.made-up"], more["mixing.made-up"])


def test_damage_is_found(tiny_pack):
    data = squeeze(tiny_pack).data
    for bad, message in (
        (b"x" + data[1:], "not a file of squeezed"),
        (data[:-9], "cut short"),
        (data[:3000] + bytes([data[3000] ^ 1]) + data[3001:], "identity|squeezed|decode"),
    ):
        with pytest.raises(CorruptError, match=message):
            unsqueeze(bad)


def test_refusals(tiny_pack):
    for options in ({"step": 7}, {"step": -1}, {"prune": 1.0}, {"prune": -0.1}):
        with pytest.raises(UsageError):
            coarsen(tiny_pack, **options)
    assert isinstance(tiny_pack, Pack)
