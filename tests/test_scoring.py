"""Bits under a model's predictions: exact ones, float ones, and by other people's rules."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import random
import shutil

import numpy as np
import pytest

from lmzip.codec import CodingParameters, token_costs
from lmzip.errors import ModelError, PredictionError, UsageError
from lmzip.measure import Archives, Ideal, bits_by_frequency, bits_by_position, find_documents
from lmzip.measure import measure as run_measure
from lmzip.measure.causal import FloatScorer, load_float_model
from lmzip.measure.exact import ExactScorer
from lmzip.measure.scoring import Scores, calibrate, score_windows
from lmzip.measure.tokens import archive_tokens, ideal_tokens
from lmzip.measure.windows import PROTOCOLS, Window, protocol

from . import tiny
from .test_measure import lmzip_command
from .test_models import write_gguf

WORDS = """
the of and to in a that it was he for with his on be at by had not but from which they
this all her she or an were we one would there been their has when who will more said
them can so what up out if about time into only two new some could these then first
other very after over made like our any little down before through must well where much
way should still people
""".split()  # noqa: SIM905
_RNG = random.Random(1)
TEXT = "".join(
    _RNG.choice(WORDS) + _RNG.choice([" "] * 9 + [", ", ".\n", " - ça "]) for _ in range(600)
).encode()
"""Words in no order: nothing that zstd could find."""


@pytest.fixture(scope="module")
def float_model(tiny_folder):
    return load_float_model(str(tiny_folder))


@pytest.fixture(scope="module")
def tiny_exact(tmp_path_factory, tiny_folder):
    """The same checkpoint as an exact pack."""
    from lmzip.models.checkpoint import read_folder
    from lmzip.models.convert import build_pack
    from lmzip.models.source import load_model

    return load_model(build_pack(read_folder(tiny_folder, "tiny-llama")), threads=1)


@pytest.mark.parametrize(
    "parameters",
    [
        CodingParameters(window=12, stream_tokens=20, sinks=2, block_bytes=700),
        CodingParameters(window=64, stream_tokens=50, streams_at_once=3, block_bytes=1 << 20),
        CodingParameters(stream_tokens=64, streams_at_once=4, block_bytes=900, solid=True),
        CodingParameters(window=256, stream_tokens=700, mixing_bits=0),
    ],
)
def test_token_costs_are_what_the_archive_pays(tiny_model, tmp_path, parameters):
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    method = Archives(tiny_model, parameters, memory_limit=1 << 30)
    (measurement,) = run_measure(find_documents([str(path)]), method)
    costs = token_costs(tiny_model, TEXT, parameters)
    if parameters.mixing_bits:
        assert measurement.modelled_bytes == len(TEXT)
        assert costs.bits.sum() == pytest.approx(measurement.ideal_bits, rel=1e-9)
    else:  # zstd is smaller then: no token has a price
        assert measurement.modelled_bytes == 0
        assert np.isnan(costs.bits).all() and measurement.ideal_bits_per_byte is None
        assert measurement.ideal_bits == costs.other_bits == 8 * measurement.payload_bytes
    assert tiny_model.tokenizer.vocabulary.detokenize(costs.ids) == TEXT
    assert [a for a, _ in costs.streams[1:]] == [b for _, b in costs.streams[:-1]]
    # The same from the model alone, through the other loop.
    scorer = ExactScorer(tiny_model, parameters.window_for(512), parameters.sinks)
    windows = [Window(a, a, b, start=True) for a, b in costs.streams]
    scores = score_windows(scorer, costs.ids, windows, top=3)
    assert scores.bits == pytest.approx(costs.model_bits, abs=1e-9)
    assert np.isfinite(scores.entropy_bits).all()
    assert (np.diff(scores.top_pmf) <= 0).all()
    likeliest = scores.top_ids[:, 0] == costs.ids
    assert scores.bits[likeliest] == pytest.approx(-np.log2(scores.top_pmf[likeliest, 0]), abs=1e-4)


def test_float_and_exact_agree(float_model, tiny_exact):
    """Must show 1: the same information from an independent computation in float."""
    rules = protocol("codec")
    exact = ideal_tokens(ExactScorer(tiny_exact, 64), rules, 64, "x", TEXT)
    single = ideal_tokens(float_model, rules, 64, "x", TEXT)
    assert (exact.ids == single.ids).all()
    assert (single.starts <= exact.starts).all()  # characters, bytes
    # Random weights are the hardest to quantise; benchmarks/results.md has trained ones.
    assert single.bits.sum() == pytest.approx(exact.bits.sum(), rel=0.05)
    assert (exact.positions == single.positions).all()


def test_float_bits_by_hand(float_model, tiny_folder):
    """Against transformers used directly, with the start token in front."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    ids, starts = float_model.tokenize(TEXT)
    assert starts[0] == 0 and (np.diff(starts) >= 0).all()
    inputs = torch.tensor([[0, *ids[:99].tolist()]])
    with torch.inference_mode():
        pmf = model(inputs).logits[0].double().log_softmax(-1)
    expected = -pmf[torch.arange(100), torch.tensor(ids[:100])].numpy() / math.log(2)
    scores = score_windows(float_model, ids[:100], [Window(0, 0, 100, start=True)], top=2)
    assert scores.bits == pytest.approx(expected, abs=1e-4)
    entropy = -(pmf.exp() * pmf).sum(-1).numpy() / math.log(2)
    assert scores.entropy_bits == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("tokens", [1, 5, 16, 17, 33, 100, 2413, 5000])
def test_protocols_score_what_they_say(name, tokens):
    rules = protocol(name)
    window = rules.fixed_window or 16
    if name == "cril" and tokens <= window:
        with pytest.raises(UsageError, match="cril"):
            rules.windows(tokens, window)
        return
    scored = np.zeros(tokens, int)
    for w in rules.windows(tokens, window):
        assert 0 <= w.context <= w.first < w.end <= tokens
        assert w.inputs <= window
        assert w.start or w.context < w.first
        scored[w.first : w.end] += 1
    if name == "cril":
        last = 1901 + (tokens - 1901) // 512 * 512
        assert scored.tolist() == [0] + [1] * (last - 1) + [0] * (tokens - last)
    else:
        assert (scored == 1).all()


def test_no_start_token(float_model):
    ids, _ = float_model.tokenize(TEXT)
    start, float_model.start = float_model.start, None
    try:
        bits = score_windows(float_model, ids[:20], [Window(0, 0, 20, start=True)]).bits
        alone = score_windows(float_model, ids[:1], [Window(0, 0, 1, start=True)]).bits
    finally:
        float_model.start = start
    assert bits[0] == alone[0] == math.log2(float_model.vocab)
    assert np.isfinite(bits).all()


@pytest.mark.parametrize("which", ["exact", "float"])
def test_made_up_text_costs_its_entropy(which, float_model, tiny_exact):
    scorer = float_model if which == "float" else ExactScorer(tiny_exact, 64)
    found = calibrate(scorer, streams=8, tokens=24, seed=3)
    assert found.passed, found
    assert found.deviation_bits > 1


@pytest.mark.parametrize("change", ["shifted", "no start", "wrong start", None])
def test_the_self_test_is_of_what_documents_go_through(float_model, monkeypatch, change):
    """A fault of `score_windows` alone must show."""

    def faulty(scorer, ids, windows, **options):
        if change == "shifted":
            ids = np.roll(ids, 1)
        if change == "no start":
            windows = [dataclasses.replace(w, start=False, first=w.first + 1) for w in windows]
        scores = score_windows(scorer, ids, windows, **options)
        if change == "no start":
            return Scores(np.nan_to_num(scores.bits))
        return scores

    monkeypatch.setattr("lmzip.measure.scoring.score_windows", faulty)
    start = float_model.start
    scorer = float_model
    if change == "wrong start":

        class Wrong:
            """Reads something else before the first token than it draws behind."""

            def __getattr__(self, name):
                return getattr(float_model, name)

            def next_pmf(self, inputs):
                return float_model.next_pmf(np.where(inputs == start, 9, inputs))

        scorer = Wrong()
    # Streams of few tokens: the first ones, which the start token is for, weigh.
    found = calibrate(scorer, streams=64, tokens=6)
    assert found.tokens == 64 * 6
    assert found.passed == (change is None), found.z


def test_the_self_test_without_a_start_token(float_model, monkeypatch):
    monkeypatch.setattr(float_model, "start", None)
    found = calibrate(float_model, streams=8, tokens=24)
    assert found.passed and found.entropy_bits > 8 * math.log2(float_model.vocab)


@pytest.mark.parametrize("context", [1, 20])
def test_the_self_test_of_short_contexts(tmp_path, context):
    folder = tiny.write_folder(tmp_path / "short", max_position_embeddings=context)
    found = calibrate(load_float_model(str(folder)), streams=4)
    assert found.passed and found.tokens == 4 * context


def test_a_miscalibrated_model_is_caught(float_model):
    class Shifted:
        """Scores the token before the right one."""

        def __getattr__(self, name):
            return getattr(float_model, name)

        def score(self, inputs, targets, top=0):
            return float_model.score(inputs, inputs, top)

    assert not calibrate(Shifted(), streams=8, tokens=24).passed


def test_nan_never_becomes_a_number(tiny_folder, tmp_path):
    import torch

    scorer = load_float_model(str(tiny_folder))
    with torch.no_grad():
        scorer._model.get_output_embeddings().weight[7] = math.nan
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    with pytest.raises(PredictionError, match="NaN"):
        list(run_measure(find_documents([str(path)]), Ideal(scorer, protocol("codec"), 32)))
    with pytest.raises(PredictionError):
        calibrate(scorer, streams=2, tokens=3)


def test_recurrent_models_too(tmp_path):
    """Any architecture: a small Mamba, which names no context."""
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer.from_str(tiny.tokenizer_json())
    config = transformers.MambaConfig(
        vocab_size=290, hidden_size=16, state_size=4, num_hidden_layers=1, bos_token_id=0
    )
    model = transformers.MambaForCausalLM(config)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    scorer = FloatScorer(model, tokenizer, name="mamba")
    assert scorer.context == 0
    table = ideal_tokens(scorer, protocol("codec"), 40, "x", TEXT[:300])
    assert np.isfinite(table.bits).all()
    assert b"".join(t.encode() for t in table.texts) == TEXT[:300]


def test_loading_float_models(tiny_folder, tmp_path):
    missing = tmp_path / "bare"
    tiny.write_folder(missing)
    (missing / "tokenizer.json").unlink()
    for source, message in (
        (str(missing), "without a tokenizer"),
        (str(tmp_path / "none"), "no such file or folder"),
        ("owner/model", "cannot be loaded"),
        ("lmzip-3m", "exact pack only"),
    ):
        with pytest.raises(ModelError, match=message):
            load_float_model(source, offline=True)
    with pytest.raises(UsageError, match="float8"):
        load_float_model(str(tiny_folder), dtype="float8")
    with pytest.raises(UsageError, match="UTF-8"):
        load_float_model(str(tiny_folder)).tokenize(b"\xff\xfe")


def test_cril_divides_by_what_it_scores(tiny_model, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(TEXT * 6)
    scorer = ExactScorer(tiny_model, tiny_model.engine.config.context)
    rules = dataclasses.replace(
        protocol("cril"), windows=lambda n, w: [Window(0, 1, 100, start=False)], fixed_window=100
    )
    (found,) = run_measure(find_documents([str(path)]), Ideal(scorer, rules, 0))
    ids, starts = scorer.tokenize(path.read_bytes())
    assert found.unscored_tokens == len(ids) - 99 and not found.complete
    assert found.modelled_bytes == found.counted_bytes == starts[100] - starts[1]
    assert found.bits_per_byte == found.ideal_bits / found.counted_bytes
    (whole,) = run_measure(find_documents([str(path)]), Ideal(scorer, protocol("codec"), 100))
    assert whole.complete and whole.counted_bytes == len(TEXT * 6)


def test_windows_that_are_too_long(float_model):
    for name, window in (("cril", 64), ("codec", 513), ("lm-eval", 1024)):
        with pytest.raises(UsageError, match="512"):
            Ideal(float_model, protocol(name), window)
    assert Ideal(float_model, protocol("codec"), 512).settings["window"] == 512


def test_an_identity_is_all_that_predictions_depend_on(tmp_path, float_model, tiny_folder):
    def identity(dtype="float32", **changes):
        folder = tiny.write_folder(tmp_path / str(len(os.listdir(tmp_path))), **changes)
        return load_float_model(str(folder), dtype=dtype).identity

    first = identity()
    assert identity() == first  # wherever it lies
    others = [identity(rms_norm_eps=1e-4), identity(rope_theta=5000.0), identity("bfloat16")]
    other_words = tiny.write_folder(tmp_path / "words")
    words = json.loads((other_words / "tokenizer.json").read_text())
    words["model"]["merges"] = words["model"]["merges"][:-1]
    (other_words / "tokenizer.json").write_text(json.dumps(words))
    others.append(load_float_model(str(other_words)).identity)
    assert len({first, *others}) == 1 + len(others)
    model, tokenizer = float_model._model, float_model._tokenizer
    assert FloatScorer(model, tokenizer, name="x").identity == float_model.identity
    assert float_model.settings["device"] == "cpu"


def test_the_size_of_a_float_model_is_its_files(tmp_path, tiny_folder):
    size = (tiny_folder / "model.safetensors").stat().st_size
    for dtype in ("float32", "bfloat16"):
        assert load_float_model(str(tiny_folder), dtype=dtype).model_bytes == size
    parts = tmp_path / "parts"
    shutil.copytree(tiny_folder, parts)
    shutil.copy(parts / "model.safetensors", parts / "unused.safetensors")
    os.rename(parts / "model.safetensors", parts / "part.safetensors")
    from safetensors import safe_open

    with safe_open(parts / "part.safetensors", "np") as file:
        index = {"metadata": {}, "weight_map": dict.fromkeys(file.keys(), "part.safetensors")}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_float_model(str(parts)).model_bytes == size
    gguf = tmp_path / "tiny.gguf"
    write_gguf(tiny_folder, gguf)
    for dtype in ("float32", "bfloat16"):
        assert load_float_model(str(gguf), dtype=dtype).model_bytes == gguf.stat().st_size


def test_where_the_bits_go(tiny_model):
    parameters = CodingParameters(window=32, stream_tokens=64)
    table = archive_tokens(tiny_model, parameters, "doc", TEXT, top=2)
    rows = list(table.rows())
    assert sum(row["bits"] for row in rows) == pytest.approx(table.bits.sum())
    assert [row["offset"] for row in rows[:3]] == table.starts[:3].tolist()
    assert rows[0]["position"] == 1
    assert max(row["position"] for row in rows) <= 64
    assert len(rows[0]["alternatives"]) == 2
    for bins in (bits_by_position([table]), bits_by_frequency([table])):
        assert sum(b.tokens for b in bins) == len(rows)
        assert sum(b.bits for b in bins) == pytest.approx(table.bits.sum())
        assert all(a.high < b.low for a, b in itertools.pairwise(bins))


def test_the_command_in_float_and_by_other_rules(tiny_folder, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    run = lmzip_command(
        "measure", path, "-m", f"float:{tiny_folder}", "-m", "lmzip-1m", "--protocol", "lm-eval",
        "--window", 64, "--json", "--self-test",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    first, second = map(json.loads, run.stdout.splitlines())
    assert first["kind"] == second["kind"] == "ideal"
    assert first["archive_bytes"] is None
    assert first["settings"]["protocol"] == "lm-eval"
    assert run.stderr.count("made-up tokens") == 2
    table = lmzip_command("measure", path, "-m", f"float:{tiny_folder}")
    assert "ideal bits, nothing is coded" in table.stdout
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff\xfe\x00")
    both = lmzip_command("measure", bad, path, "-m", f"float:{tiny_folder}", "--json")
    assert both.returncode == 1
    assert "not UTF-8" in both.stderr
    assert len(both.stdout.splitlines()) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_per_token_files(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path, out = tmp_path / "text.txt", tmp_path / f"tokens.{suffix}"
    path.write_bytes(TEXT)
    run = lmzip_command(
        "measure", path, "-m", "lmzip-1m", "--per-token", out, "--alternatives", 2, "--json"
    )
    assert run.returncode == 0, run.stderr
    if suffix == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(out).to_pylist()
    total = json.loads(run.stdout)["ideal_bits"]
    assert sum(row["bits"] for row in rows) == pytest.approx(total)
    texts = "".join(row["text"] for row in rows)
    assert texts.replace("\\xc3", "").replace("\\xa7", "") == TEXT.decode().replace("ç", "")
    assert all(b["offset"] > a["offset"] for a, b in itertools.pairwise(rows))
    assert all(len(row["alternatives"]) == 2 for row in rows)
    assert all(row["entropy_bits"] >= 0 for row in rows)
