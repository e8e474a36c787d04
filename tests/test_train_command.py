"""`lmzip train`: models of one's own, on tiny models."""

from __future__ import annotations

import dataclasses
import json
import signal
import stat
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmzip.engine import Pack  # noqa: E402
from lmzip.errors import UnsupportedModelError, UsageError  # noqa: E402
from lmzip.models.checkpoint import read_folder  # noqa: E402
from lmzip.models.convert import build_pack  # noqa: E402
from lmzip.models.store import ModelStore  # noqa: E402
from lmzip.training.model import Model  # noqa: E402
from lmzip.training.own import Order, Training, held_out_bits, split  # noqa: E402
from lmzip.training.packs import float_weights, pack_of, shape_of  # noqa: E402

from . import tiny  # noqa: E402
from .test_engine import KINDS  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small products: threads would only wait for each other."""
    torch.set_num_threads(1)


def small_pack(folder: Path, kind: str) -> Pack:
    changes = KINDS[kind] | ({"max_position_embeddings": 1024} if kind != "llama" else {})
    tiny.write_folder(folder / kind, kind.split("-")[0], seed=6, **changes)
    return build_pack(read_folder(folder / kind, kind))


@pytest.fixture(scope="module", params=["qwen3", "lmzip"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return small_pack(tmp_path_factory.mktemp("train"), request.param)


def lines(count: int, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    words = [b"the other", b"there is", b"an error in", b"the engine", b"of the", b"reading"]
    text = [b" ".join(words[i] for i in rng.integers(0, 6, 8)) for _ in range(count)]
    return b"\n".join(text) + b"\n"


def test_a_pack_gives_its_weights_back(pack: Pack) -> None:
    """Float weights of a pack make that pack again, a scale's last bit apart."""
    model = Model(shape_of(pack))
    model.load_state_dict(float_weights(pack))
    again = pack_of(pack, model.state_dict(), "again", {})
    assert again.config == pack.config and again.selftest
    for name, tensor in pack.tensors.items():
        if tensor.dtype == np.float32:
            np.testing.assert_allclose(again.tensors[name], tensor, rtol=3e-7)
        else:
            np.testing.assert_array_equal(again.tensors[name], tensor)


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="cannot be trained here"):
        shape_of(small_pack(tmp_path, "llama"))


def test_texts_are_split(tmp_path: Path) -> None:
    text = lines(1700)
    texts = split([text, b"", text, b"a short one"])
    assert b"".join([*texts.training, *texts.held_out]) == text + b"a short one"
    assert all(part.endswith(b"\n") for part in texts.training)
    assert 0.01 < len(b"".join(texts.held_out)) / len(text) < 0.6
    with pytest.raises(UsageError, match="too few"):
        split([lines(100)])


def test_a_stopped_training_gives_the_same_model(pack: Pack, tmp_path: Path) -> None:
    texts = split([lines(1700)])
    order = Order("mine", tokens=4 * 4096)
    heard: list[str] = []
    whole = Training(pack, texts, order, tmp_path / "whole", notice=heard.append)
    expected = whole.run(lambda progress, bits: None)
    assert expected is not None and len(heard) >= 3
    for steps in (1, 2, 0):
        found = Training(pack, texts, order, tmp_path / "parts").run(lambda p, bits: None, steps)
        assert (found is None) == (steps > 0)
    assert found is not None and found.identity == expected.identity != pack.identity
    # The texts are in that folder, and nobody said that they are public.
    assert stat.S_IMODE((tmp_path / "parts").stat().st_mode) == 0o700
    for path in (tmp_path / "parts").glob("*.*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store = ModelStore(tmp_path / "home", offline=True)
    installed = store.install(dataclasses.replace(found, name="mine"), within=0o640)
    assert stat.S_IMODE(installed.path.stat().st_mode) & 0o137 == 0

    def bits(pack: Pack) -> float:
        model = Model(shape_of(pack))
        model.load_state_dict(float_weights(pack))
        return held_out_bits(model, whole.shape, whole.held_out)

    assert bits(expected) < 0.9 * bits(pack)
    other = dataclasses.replace(order, seed=2)
    with pytest.raises(UsageError, match="--restart"):
        Training(pack, texts, other, tmp_path / "parts")
    whole.forget()
    assert not (tmp_path / "whole").exists()


def test_minutes_become_tokens(pack: Pack, tmp_path: Path) -> None:
    training = Training(pack, split([lines(1700)]), Order("mine", minutes=0.1), tmp_path)
    assert training.total_tokens >= 4096 and training.total_tokens % 4096 == 0
    again = Training(pack, split([lines(1700)]), Order("mine", minutes=0.1), tmp_path)
    assert again.plan == training.plan


def test_from_nothing_the_old_weights_do_not_matter(pack: Pack, tmp_path: Path) -> None:
    order = Order("mine", tokens=4096, from_scratch=True)
    texts = split([lines(1700)])
    first = Training(pack, texts, order, tmp_path / "one").run(lambda p, bits: None)
    tensors = dict(pack.tensors)
    tensors["layers.0.o.weight"] = np.flip(tensors["layers.0.o.weight"], 0).copy()
    other = dataclasses.replace(pack, tensors=tensors)
    second = Training(other, texts, order, tmp_path / "two").run(lambda p, bits: None)
    assert first is not None and second is not None and first.identity == second.identity


def test_the_command(lmzip, tiny_home: Path, tmp_path: Path) -> None:
    """Trains, installs, compares; the new model codes; what is wrong is said in one line."""
    folder = tmp_path / "base"
    tiny.write_folder(folder, "lmzip", seed=6, **KINDS["lmzip"], max_position_embeddings=1024)
    home = tmp_path / "home"
    ModelStore(home).add(folder, "base")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": lines(40, i).decode()}) + "\n" for i in range(60)))
    words = ("train", str(rows), "--field", "text", "-m", "base", "--workers", "1")
    words = (*words, "--tokens", "8192", "-o", "mine")
    done = lmzip(*words, LMZIP_HOME=str(home))
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode()
    assert out.startswith("mine: identity ") and "base " in out and "zstd" in out
    before, after = (float(out.split(f"\n{name} ")[1].split()[3]) for name in ("base", "mine"))
    assert after < before
    assert not (home / "training" / "mine").exists()
    text = lines(20, 99)
    archive = lmzip("-c", "-m", "mine", stdin=text, LMZIP_HOME=str(home))
    assert archive.returncode == 0, archive.stderr
    assert lmzip("-dc", stdin=archive.stdout, LMZIP_HOME=str(home)).stdout == text
    for wrong, message in (
        (words, b"already exists"),
        ((*words[:-1], "lmzip-3m"), b"known model's name"),
        (("train", str(tmp_path / "none"), "-m", "base", "-o", "other"), b"none"),
    ):
        failed = lmzip(*wrong, LMZIP_HOME=str(home))
        assert failed.returncode != 0 and message in failed.stderr
        assert failed.stderr.count(b"\n") == 1


def test_a_signal_stops_with_a_checkpoint(pack: Pack, tmp_path: Path) -> None:
    training = Training(pack, split([lines(1700)]), Order("mine", tokens=10 * 4096), tmp_path)
    stopped = training.run(lambda progress, bits: signal.raise_signal(signal.SIGTERM))
    assert stopped is None
    assert [path.name for path in (tmp_path / "run").glob("step-*")] == ["step-0000001.pt"]
