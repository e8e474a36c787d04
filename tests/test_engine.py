"""The reference engine: equal bits however the tokens are fed, and close to float inference."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.engine import RADIX
from lmzip.engine.reference import ReferenceEngine
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack

from . import tiny

KINDS = {
    "llama": {},
    "mistral": {"tie_word_embeddings": False},
    "qwen2": {},
    "qwen3": {"num_key_value_heads": 1},
    "lmzip": {"num_key_value_heads": 1, "ngrams": [2, 3], "ngram_rows": 50, "ngram_width": 32},
    "lmzip-odd": {"ngrams": [2, 4], "ngram_rows": 7, "ngram_width": 20, "hidden_size": 40},
    "llama-wide": {"head_dim": 12, "hidden_size": 40, "intermediate_size": 72},
}


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    kind = request.param
    folder = tiny.write_folder(
        tmp_path_factory.mktemp("engine") / kind, kind.split("-")[0], seed=3, **KINDS[kind]
    )
    return ReferenceEngine(build_pack(read_folder(folder, kind)))


def frequencies(engine, tokens, parts, window=1000, sinks=4):
    """High and low frequencies [B, T, ...] with the T tokens fed in these parts."""
    assert sum(parts) == tokens.shape[1]
    cache = engine.new_cache(tokens.shape[0], window, sinks, tokens.shape[1])
    high, low = [], []
    start = 0
    for part in parts:
        fed = tokens[:, start : start + part]
        predictions = engine.forward(fed, cache)
        high.append(predictions.high())
        low.append(predictions.low((fed * 7 % engine.config.vocab) // RADIX))
        start += part
    return np.concatenate(high, 1), np.concatenate(low, 1)


def random_tokens(engine, streams, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, engine.config.vocab, (streams, count))


@pytest.mark.parametrize(("window", "sinks"), [(1000, 4), (16, 4), (7, 0), (5, 2), (1, 1), (2, 6)])
def test_any_split_gives_equal_bits(engine, window, sinks):
    tokens = random_tokens(engine, 3, 90)
    whole = frequencies(engine, tokens, [90], window, sinks)
    for parts in ([1] * 90, [89, 1], [1, 2, 3, 70, 14], [45, 45]):
        for expected, got in zip(
            whole, frequencies(engine, tokens, parts, window, sinks), strict=True
        ):
            np.testing.assert_array_equal(expected, got)


def test_batch_and_order_do_not_matter(engine):
    tokens = random_tokens(engine, 33, 20)
    high, low = frequencies(engine, tokens, [20], 8, 2)
    order = np.random.default_rng(1).permutation(33)
    shuffled = frequencies(engine, tokens[order], [20], 8, 2)
    np.testing.assert_array_equal(high[order], shuffled[0])
    np.testing.assert_array_equal(low[order], shuffled[1])
    alone = frequencies(engine, tokens[5:6], [11, 9], 8, 2)
    np.testing.assert_array_equal(high[5:6], alone[0])


def test_dropping_streams_leaves_the_others_alone(engine):
    tokens = random_tokens(engine, 4, 12)
    high, _ = frequencies(engine, tokens, [12], 6, 2)
    cache = engine.new_cache(4, 6, 2, 12)
    engine.forward(tokens[:, :7], cache)
    kept = np.array([3, 1])
    cache.keep(kept)
    np.testing.assert_array_equal(engine.forward(tokens[kept, 7:], cache).high(), high[kept, 7:])


@pytest.mark.parametrize(("window", "sinks"), [(40, 4), (6, 2), (5, 0)])
def test_a_common_beginning_is_read_once(engine, window, sinks):
    tokens = random_tokens(engine, 3, 30)
    tokens[:, :17] = tokens[1, :17]
    high, low = frequencies(engine, tokens, [30], window, sinks)
    cache = engine.new_cache(3, window, sinks, 30)
    cache.keep(np.array([1]))
    engine.forward(tokens[1:2, :9], cache)
    engine.forward(tokens[1:2, 9:17], cache)
    cache.spread()
    for first, end in ((17, 18), (18, 30)):
        predictions = engine.forward(tokens[:, first:end], cache)
        np.testing.assert_array_equal(predictions.high(), high[:, first:end])
        asked = tokens[:, first:end] * 7 % engine.config.vocab // RADIX
        np.testing.assert_array_equal(predictions.low(asked), low[:, first:end])
    assert cache.position == 30


def test_frequencies_are_valid(engine):
    high, low = frequencies(engine, random_tokens(engine, 2, 10), [10])
    for freqs in (high, low):
        assert freqs.dtype == np.int32
        assert freqs.min() >= 1
        assert (freqs.sum(-1, dtype=np.int64) == 1 << 24).all()


def test_window_and_sinks_are_what_a_token_sees(engine):
    """Changing a token changes what follows within the window and from the sinks, nothing else.

    One layer at a time sees W positions, so L layers reach L (W - 1) back, n-grams some more.
    """
    window, sinks, reach = 4, 2, 2 * 3 + engine.config.memory
    tokens = random_tokens(engine, 1, 40)
    before, _ = frequencies(engine, tokens, [40], window, sinks)
    for changed in (0, 1, 10):
        other = tokens.copy()
        other[0, changed] = (other[0, changed] + 1) % engine.config.vocab
        after, _ = frequencies(engine, other, [40], window, sinks)
        differs = (before != after).any(-1)[0]
        assert not differs[:changed].any()
        assert differs[changed]
        if changed < sinks:
            assert differs[30:].any()
        else:
            assert not differs[changed + reach + 1 :].any()


def test_slow_products_equal_fast_ones(engine):
    """Without torch._int_mm the products are taken in binary32, exactly."""
    tokens = random_tokens(engine, 2, 9)
    expected = frequencies(engine, tokens, [9])
    fast, engine.matmul.native = engine.matmul.native, False
    try:
        got = frequencies(engine, tokens, [9])
    finally:
        engine.matmul.native = fast
    np.testing.assert_array_equal(expected[0], got[0])
    np.testing.assert_array_equal(expected[1], got[1])


def extra_bits(engine, tokens, logits):
    """What coding with the engine costs over the float model's own entropy, bits a token [B, T]."""
    logits[..., list(engine.config.suppressed)] = -1e9
    log2_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    log2_p /= np.log(2)
    cache = engine.new_cache(*tokens.shape[:1], 500, 4, tokens.shape[1])
    weights = engine.forward(tokens, cache).token_weights().numpy().astype(np.float64)
    weights = weights[:, : engine.config.vocab].reshape(logits.shape)
    shares = np.maximum(weights / weights.sum(-1, keepdims=True), 2.0**-24)
    return (np.exp2(log2_p) * (log2_p - np.log2(shares))).sum(-1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("lmzip")])
def test_agrees_with_transformers(kind, tmp_path):
    """Within quantisation noise of float inference by an independent implementation.

    Random weights are noisier than trained ones; a model that rotates positions by another base is
    an order of magnitude further off, so the bound tells right from wrong.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    base, changes = kind.split("-")[0], KINDS[kind]
    folder = tiny.write_folder(tmp_path / "right", base, seed=3, **changes)
    wrong = tiny.write_folder(tmp_path / "wrong", base, seed=3, **changes, rope_theta=50.0)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    engine = ReferenceEngine(build_pack(read_folder(folder, kind)))
    tokens = random_tokens(engine, 2, 60)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)).logits.double().numpy()
    near = extra_bits(engine, tokens, logits.copy())
    assert near.mean() < 0.06
    assert near.max() < 0.6
    other = ReferenceEngine(build_pack(read_folder(wrong, kind)))
    assert extra_bits(other, tokens, logits.copy()).mean() > 0.3


def test_ngrams_agree_with_training(tmp_path):
    """As above, for rows of n-grams, by the model that is trained in floating point."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from lmzip.training.model import Model
    from lmzip.training.shape import Shape

    folder = tiny.write_folder(tmp_path / "right", "lmzip", seed=3, **KINDS["lmzip"])
    engine = ReferenceEngine(build_pack(read_folder(folder, "right")))
    weights = {
        name.removeprefix("model."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    tables = [weights.pop(f"ngrams.tables.{i}") for i in range(2)]
    config = engine.config
    shape = Shape(
        width=48, layers=2, heads=4, kv_heads=1, ffn_width=96, head_width=16, vocab=config.vocab,
        context=512, norm_eps=1e-5, ngrams=(2, 3), ngram_rows=50, ngram_width=32,
    )  # fmt: skip
    model = Model(shape)
    model.load_state_dict(weights | {"ngrams.tables": torch.stack(tables)})
    tokens = random_tokens(engine, 2, 60)
    tokens[:, 0] = config.bos

    def logits(model):
        with torch.no_grad():
            hidden = model(torch.from_numpy(tokens))
            return (hidden @ model.embed_tokens.weight.T).double().numpy()

    near = extra_bits(engine, tokens, logits(model))
    assert near.mean() < 0.06
    assert near.max() < 0.6
    with torch.no_grad():
        model.ngrams.tables[1] = model.ngrams.tables[1].roll(1, 0)
    assert extra_bits(engine, tokens, logits(model)).mean() > 0.3
