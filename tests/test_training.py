"""The training recipe on a toy corpus: data, tokenizer, learning, resuming, export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmzip.engine import Pack  # noqa: E402
from lmzip.models.source import load_model  # noqa: E402
from lmzip.training.loop import Loop, Place  # noqa: E402
from lmzip.training.model import Model, head_loss  # noqa: E402
from lmzip.training.parallel import Team  # noqa: E402
from lmzip.training.shape import Schedule, Shape  # noqa: E402
from training import config as configs  # noqa: E402
from training import data, evaluate, export, ladder, text, train  # noqa: E402
from training.config import Config, DataConfig, Group  # noqa: E402
from training.decontaminate import WINDOW, Forbidden, hashes  # noqa: E402

ROOT = Path(__file__).parent.parent
SECRET = "Nobody may train on this sentence, since it is what the measurements are made on, ever. "
WORDS = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi",
    "psi", "omega", "über", "naïve", "中文", "привет", "12", "345",
]  # fmt: skip


def _sentence(rng: np.random.Generator) -> str:
    first = int(rng.integers(len(WORDS)))
    return " ".join(WORDS[(first + 3 * i) % len(WORDS)] for i in range(int(rng.integers(4, 12))))


def _document(rng: np.random.Generator, sentences: int) -> str:
    return "".join(_sentence(rng) + ".\n" for _ in range(sentences))


@pytest.fixture(scope="module")
def config() -> Config:
    return Config(
        name="toy",
        shape=Shape(
            width=32, layers=2, heads=2, kv_heads=1, ffn_width=64, head_width=16, vocab=320,
            context=128, ngrams=(2, 3), ngram_rows=100, ngram_width=16,
        ),
        schedule=Schedule(
            batch=512, micro_batch=256, candidates=200, stable_length=64, decay_length=128,
            warmup_tokens=4096,
            total_tokens=512 * 60, decay_fraction=0.25, checkpoint_minutes=1e9,
            evaluate_steps=1000, log_steps=10,
        ),
        data=DataConfig(
            groups=(
                Group("books", 3, ("books",), wrap=1.0, crlf=0.5, ascii_quotes=1.0),
                Group("notes", 1, ("notes",)),
            ),
            shards=2, shard_mb=0.06, tokenizer_mb=0.05, vocab=320, row=128, held_out=0.02,
            avoid=("eval",), titled=("books",), skip_titles=("The Forbidden Book",),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    """A work folder with tokenizer, shards and held-out texts of a toy corpus."""
    corpora = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(1)
    books = [_document(rng, 300) for _ in range(6)]
    books.insert(0, "THE FORBIDDEN BOOK\n" + "qqqq zzzz. " * 300)
    notes = [_document(rng, 5) for _ in range(100)]
    notes[3] = "A short note. " + SECRET.upper().replace(" ", "\n") + " And so on."
    for name, documents in (("books", books), ("notes", notes)):
        path = corpora / "train" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.SEPARATOR.join(documents))
    (corpora / "eval").mkdir()
    (corpora / "eval" / "measured.txt").write_text("Before. " + SECRET + "After.")
    folder = tmp_path_factory.mktemp("work")
    data.prepare(corpora, folder, config.data, processes=1)
    return folder


def _train(config: Config, work: Path, **extra: int) -> Loop:
    return train.run(config, work, threads=1, device="cpu", compiled=False, **extra)


@pytest.fixture(scope="module")
def trained(config: Config, work: Path) -> Loop:
    return _train(config, work)


def test_passages_are_found_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    noise = bytes(rng.integers(97, 123, 150_000, dtype=np.uint8))
    assert len(hashes(noise)) == len(noise) - WINDOW + 1
    assert not len(hashes(b"too short"))
    forbidden = Forbidden([noise[70_000:70_100]])
    assert forbidden.hits(noise) == 100 - WINDOW + 1
    assert forbidden.hits(noise[:70_000]) == forbidden.hits(noise[70_080:]) == 0
    assert forbidden.hits(noise[70_000:70_060].upper() + b"\r\n") == 11
    assert Forbidden([]).hits(noise) == 0


def test_planted_documents_are_dropped(work: Path) -> None:
    files = json.loads((work / "shard-000.json").read_text())["files"]
    both = [files, json.loads((work / "shard-001.json").read_text())["files"]]
    assert sum(f["notes.txt"]["dropped_parts"] for f in both) >= 1
    assert sum(f["books.txt"]["dropped_parts"] for f in both) == 0
    tokenizer = data.tokenizers.load(work / "tokenizer.json")
    for path in sorted(work.glob("shard-*.u16")):
        words = tokenizer.decode(np.fromfile(path, "<u2").tolist()).lower().split()
        assert "alpha" in words and "measurements" not in words and "zzzz." not in words


def test_the_held_out_documents_are_not_trained_on() -> None:
    documents = [f"document {i} " * 10 for i in range(100)]
    kept, held = text.hold_out(documents, 0.05)
    assert kept + held == documents and 5 <= len(held) <= 7
    kept, held = text.hold_out(["a\n\nb\n\n" * 1000], 0.05)
    assert kept[0] + held[0] == "a\n\nb\n\n" * 1000 and 200 < len(held[0]) < 400


def test_the_tokenizer_is_total_and_exact(work: Path) -> None:
    rng = np.random.default_rng(2)
    samples = [
        bytes(range(256)),
        bytes(rng.integers(0, 256, 5000, dtype=np.uint8)),
        b"line\r\nline\r\n\r\n    indented\tx  y <|endoftext|> 1234567 don't\n\n\n",
        "Ünïcödé, 中文 हिन्दी 👍🏽\u2028\ufeff".encode(),
    ]
    path = work / "sample"
    for sample in samples:
        path.write_bytes(sample)
        tokens = evaluate.file_tokens(path, work / "tokenizer.json")  # asserts the round trip
        assert 0 not in tokens


def test_wrapping_only_turns_blanks_into_line_ends() -> None:
    paragraph = " ".join(WORDS * 20) + "\n    " + "code " * 40 + "\n" + "x" * 200 + " end"
    wrapped = text.wrap(paragraph, 60)
    assert wrapped.replace("\n", " ") == paragraph.replace("\n", " ")
    assert sum(len(line) > 60 for line in wrapped.split("\n")) == 2


def test_places_visit_every_row_once_an_epoch(work: Path, config: Config) -> None:
    rows = data.read_shards(work, 1, config.data.row)
    total = sum(len(shard) for shard in rows.shards)
    place = Place()
    seen = rows.next(place, total * 2, config.data.row // 2)
    assert (place.epoch, place.shard, place.group, place.index) == (1, 0, 0, 0)
    whole = np.concatenate([np.asarray(s) for s in rows.shards]).reshape(-1, config.data.row // 2)
    assert np.array_equal(np.unique(seen, axis=0), np.unique(whole, axis=0))
    again = data.read_shards(work, 1, config.data.row).next(Place(), 5, config.data.row // 2)
    assert np.array_equal(again, seen[:5])


def test_the_loss_falls(trained: Loop, work: Path, config: Config) -> None:
    assert trained.done and trained.progress.tokens == config.schedule.total_tokens
    untrained = evaluate.held_out_bits(Model(config.shape), work, 128)
    bits = evaluate.held_out_bits(trained.model, work, 128)
    assert bits["all"] < 0.6 * untrained["all"]
    assert set(bits) == {"all", "books", "notes"}


def test_a_resumed_run_gives_the_same_bits(trained: Loop, work: Path, config: Config) -> None:
    other = dataclasses.replace(config, name="resumed")
    for steps in (17, 31, 0):  # 17, 48 (in the decay), to the end
        run = _train(other, work, steps=steps)
    assert run.done
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[name]), name
    assert len(list(run.folder.glob("step-*.pt"))) == 2
    assert len(list(run.folder.glob("stable-*.pt"))) == 1


def test_two_processes_make_the_same_gradients(config: Config) -> None:
    torch.manual_seed(3)
    model = Model(config.shape)
    targets = torch.randint(0, config.shape.vocab, (6, 64))
    inputs = torch.nn.functional.pad(targets[:, :-1], (1, 0))
    alone = Team(model, model, 1, False, 512)
    loss = alone.gradients(inputs, targets, 2)
    expected = [p.grad for p in model.parameters()]
    directions = [p.grad.clone() for p in model.matrices()]
    model.zero_grad()
    team = Team(model, model, 2, False, 512)
    try:
        assert team.gradients(inputs, targets, 2) == pytest.approx(loss, rel=1e-5)
        for p, wanted in zip(model.parameters(), expected, strict=True):
            assert torch.allclose(p.grad, wanted, rtol=1e-3, atol=1e-6)
        both = zip(team.orthogonals(directions), alone.orthogonals(directions), strict=True)
        assert all(torch.equal(mine, wanted) for mine, wanted in both)
    finally:
        team.close()


def test_the_loss_is_the_cross_entropy(config: Config) -> None:
    torch.manual_seed(4)
    model = Model(config.shape)
    tokens = torch.randint(0, config.shape.vocab, (2, 100))
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    weight = model.embed_tokens.weight
    losses = []
    for exact in (False, True):
        model.zero_grad()
        hidden = model(tokens)
        if exact:
            logits = torch.nn.functional.linear(hidden, weight).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, tokens.flatten(), reduction="sum")
        else:
            loss = head_loss(hidden, weight, tokens)
        loss.backward()
        losses.append((loss.detach(), [p.grad.clone() for p in model.dense()]))
    assert torch.allclose(losses[0][0], losses[1][0])
    for mine, wanted in zip(losses[0][1], losses[1][1], strict=True):
        assert torch.allclose(mine, wanted, rtol=1e-3, atol=1e-4)


def test_drawn_candidates_estimate_the_loss(config: Config) -> None:
    """The mean over many draws is near the loss over all rows, and so are the gradients."""
    torch.manual_seed(5)
    weight = (0.4 * torch.randn(320, 16)).requires_grad_()
    hidden = torch.randn(1, 40, 16)
    targets = torch.randint(0, 30, (1, 40))
    whole = head_loss(hidden, weight, targets)
    (expected,) = torch.autograd.grad(whole, weight)
    losses, gradients = [], []
    for draw in range(200):
        generator = torch.Generator().manual_seed(draw)
        others = 30 + torch.randperm(290, generator=generator)[:130]
        candidates = torch.cat((torch.arange(30), others))
        loss = head_loss(hidden, weight, targets, candidates)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, weight)[0])
    assert float(torch.stack(losses).mean()) == pytest.approx(float(whole.detach()), rel=0.01)
    mean = torch.stack(gradients).mean(0)
    assert float((mean - expected).norm() / expected.norm()) < 0.1
    everything = head_loss(hidden, weight, targets, torch.arange(320))
    assert torch.allclose(everything, whole)


def test_a_file_starts_the_decay(work: Path, config: Config) -> None:
    schedule = dataclasses.replace(config.schedule, total_tokens=0)
    other = dataclasses.replace(config, name="asked", schedule=schedule)
    run = _train(other, work, steps=8)
    assert run.progress.decay_start < 0
    (run.folder / "decay").write_text("")
    run = _train(other, work)
    assert run.done and run.progress.decay_start == 8 * 512
    assert run.progress.decay_tokens == 8 * 512 // 3


def test_the_export_runs_in_the_exact_engine(
    trained: Loop, work: Path, config: Config, tmp_path: Path
) -> None:
    from lmzip.engine.reference import ReferenceEngine

    pack = Pack.open(export.export(config, work))
    assert (pack.config.bos, pack.config.qk_norm, pack.config.tied) == (0, True, True)
    engine = ReferenceEngine(pack, threads=1)
    sample = _document(np.random.default_rng(9), 10)
    (tmp_path / "sample").write_text(sample)
    tokens = evaluate.file_tokens(tmp_path / "sample", work / "tokenizer.json")[:100]
    cache = engine.new_cache(1, 128, 0, 128)
    fed = np.concatenate(([pack.config.bos], tokens[:-1]))[None]
    high, low = np.divmod(tokens[None], 256)
    predictions = engine.forward(fed, cache)
    chances = np.take_along_axis(predictions.high(), high[..., None], -1) / 2.0**24
    chances = chances * np.take_along_axis(predictions.low(high), low[..., None], -1) / 2.0**24
    exact = float(-np.log2(chances).sum())
    assert exact == pytest.approx(evaluate.total_bits(trained.model, tokens, 128), rel=0.03)
    assert load_model(pack, threads=1)


def test_the_ladder_measures_float_and_exact(
    trained: Loop, work: Path, config: Config, tmp_path: Path
) -> None:
    pytest.importorskip("lmzip._native")
    pytest.importorskip("matplotlib")
    export.export(config, work)
    rung = ladder.climb(config, work, window=128, limit=500)
    assert rung.tokens == config.schedule.total_tokens
    assert 0 < rung.float_bits < 8
    assert abs(rung.loss) < 0.02  # 16-bit floats against 8-bit integers, on a tiny model
    assert f"{rung.exact_bits:.4f}" in ladder.table([rung])
    ladder.plot([rung, rung], tmp_path / "ladder.svg")
    assert "<svg" in (tmp_path / "ladder.svg").read_text("utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "training" / "configs").glob("lmzip-*.toml")))
def test_the_configurations_are_read(path: Path) -> None:
    config = configs.load(path)
    assert config.name == path.stem
    schedule = config.schedule
    assert config.shape.vocab == config.data.vocab and config.shape.context == config.data.row
    assert config.data.row % schedule.stable_length == 0
    assert schedule.batch % schedule.decay_length == schedule.batch % schedule.stable_length == 0
