"""Models of a hub: a small one on this machine, with checkpoints made on the spot."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading

import huggingface_hub.constants
import pytest

from lmzip.errors import (
    CorruptError,
    ModelError,
    ModelFetchError,
    ModelNotFoundError,
    UnsupportedModelError,
    UsageError,
)
from lmzip.models import registry, store
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.hub import HubName
from lmzip.models.store import ModelStore

from .test_models import write_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name, each a dictionary of files; what was asked for is kept."""

    def __init__(self):
        self.repositories = {}
        self.asked = []
        self.breaks_off_after = None
        """Bytes of weights after which a response ends."""
        hub = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request):
        path, _, _ = request.path.partition("?")
        ranged = request.headers.get("Range")
        if not path.startswith(("/api/models/", "/someone/")):  # of the hub's library itself
            request.send_error(404)
            return None
        self.asked.append((path, ranged, request.headers.get("Authorization")))
        if match := re.fullmatch("/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self.send_info(request, *match.groups())
        match = re.fullmatch(f"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path)
        data = match and self.repositories.get(match[1], {}).get(match[2])
        if data is None:
            request.send_error(404)
            return None
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", ranged).groups() if ranged else (0, "")
        part = data[int(first) : int(last) + 1 if last else None]
        request.send_response(206 if ranged else 200)
        request.send_header("Content-Length", str(len(part)))
        request.end_headers()
        if self.breaks_off_after is not None and match[2].endswith((".safetensors", ".gguf")):
            part = part[: self.breaks_off_after]
            request.close_connection = True
        request.wfile.write(part)
        return None

    def send_info(self, request, name, revision):
        if name not in self.repositories or revision not in (None, "main", "v1", COMMIT):
            request.send_error(404)
            return
        siblings = []
        for file, data in self.repositories[name].items():
            entry = {"rfilename": file, "size": len(data), "blobId": "x"}
            if file.endswith((".safetensors", ".gguf")):
                sha = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 1}
            siblings.append(entry)
        body = json.dumps(
            {"id": name, "sha": COMMIT, "siblings": siblings, "tags": ["license:mit", "x"]}
        ).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def files(self):
        """Names of the files that were asked for, in order."""
        return [path.rpartition(f"{COMMIT}/")[2] for path, *_ in self.asked if "/resolve/" in path]


@pytest.fixture
def hub(monkeypatch, tiny_folder):
    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    template = made.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    made.repositories["someone/Tiny"] = {
        path.name: path.read_bytes() for path in tiny_folder.iterdir()
    } | {"README.md": b"words", "pytorch_model.bin": b"pickled"}
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_folder_of_the_hub(hub, tiny_folder, tmp_path):
    said = []
    models = ModelStore(tmp_path)
    pack = models.pull_from_hub("hf:someone/Tiny@v1", notice=said.append)
    assert pack.identity == build_pack(read_folder(tiny_folder, "x")).identity
    assert pack.name == "tiny"
    assert pack.notes["source"] == f"someone/Tiny@{COMMIT}" and pack.notes["licence"] == "mit"
    assert hub.asked[0][0] == "/api/models/someone/Tiny/revision/v1"
    assert hub.files()[0] == "config.json"
    assert not {"README.md", "pytorch_model.bin"} & set(hub.files())
    assert f"commit {COMMIT[:12]}" in said[0]
    assert sorted(p.name for p in models.folder.iterdir()) == [".tiny.lmzpack.lock", "tiny.lmzpack"]
    with pytest.raises(ModelError, match="already exists"):
        models.pull_from_hub("hf:someone/Tiny")
    assert models.pull_from_hub("hf:someone/Tiny", "other").name == "other"
    with pytest.raises(ModelNotFoundError, match="offline"):
        ModelStore(tmp_path, offline=True).pull_from_hub("hf:someone/Tiny", "third")


def test_a_fetch_that_breaks_off_goes_on(hub, tmp_path):
    models = ModelStore(tmp_path)
    size = len(hub.repositories["someone/Tiny"]["model.safetensors"])
    hub.breaks_off_after = 20_000
    with pytest.raises(ModelFetchError):
        models.pull_from_hub("hf:someone/Tiny")
    assert not (models.folder / "tiny.lmzpack").exists()
    (part,) = models.folder.rglob("*.part")
    have = part.stat().st_size
    assert 0 < have <= 20_000 < size
    hub.asked.clear()
    hub.breaks_off_after = None
    models.pull_from_hub("hf:someone/Tiny")
    assert hub.files() == ["model.safetensors"] and hub.asked[1][1] == f"bytes={have}-"
    assert not (models.folder / ".hub-tiny").exists()


def test_weights_of_another_hash_are_removed(hub, tmp_path):
    models = ModelStore(tmp_path)
    files = hub.repositories["someone/Tiny"]
    folder = models.folder / ".hub-tiny" / COMMIT
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(bytes(len(files["model.safetensors"])))
    with pytest.raises(ModelFetchError, match="does not match the hash"):
        models.pull_from_hub("hf:someone/Tiny")
    models.pull_from_hub("hf:someone/Tiny")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"config.json": b'{"model_type": "gpt2"}'}, UnsupportedModelError, "'gpt2' is not"),
        ({"config.json": b'{"model_type": "llama"}'}, CorruptError, "config.json"),
        ({"config.json": b"{"}, CorruptError, "config.json"),
        ({"config.json": b"[]"}, CorruptError, "config.json"),
        ({"tokenizer.json": None}, UnsupportedModelError, "has no tokenizer.json"),
        ({"model.safetensors": None}, UnsupportedModelError, "no .safetensors file"),
        ({"model.safetensors": None, "q.gguf": b"x"}, UnsupportedModelError, "Tiny:q.gguf"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_first(hub, tmp_path, changes, error, message):
    files = hub.repositories["someone/Tiny"]
    for name, data in changes.items():
        files.pop(name) if data is None else files.update({name: data})
    with pytest.raises(error, match=message):
        ModelStore(tmp_path).pull_from_hub("hf:someone/Tiny")
    assert not any(name.endswith((".safetensors", ".gguf")) for name in hub.files())


def test_a_gguf_file_of_the_hub(hub, tiny_folder, tmp_path):
    path = tmp_path / "Small.Q8.gguf"
    write_gguf(tiny_folder, path)
    data = path.read_bytes()
    wrong = data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0ollam", 1)
    hub.repositories["someone/GGUF"] = {
        "sub/Small.Q8.gguf": data,
        "wrong.gguf": wrong,
        "no.gguf": b"no",
    }
    models = ModelStore(tmp_path)
    pack = models.pull_from_hub("hf:someone/GGUF:sub/Small.Q8.gguf")
    assert pack.name == "small.q8"
    assert pack.notes["source"] == f"someone/GGUF@{COMMIT}:sub/Small.Q8.gguf"
    hub.asked.clear()
    with pytest.raises(UnsupportedModelError, match="'ollam' is not supported"):
        models.pull_from_hub("hf:someone/GGUF:wrong.gguf")
    with pytest.raises(UnsupportedModelError, match="not a GGUF file"):
        models.pull_from_hub("hf:someone/GGUF:no.gguf")
    assert all(ranged == "bytes=0-65535" for path, ranged, _ in hub.asked if "resolve" in path)
    with pytest.raises(ModelFetchError, match=r"no file missing\.gguf"):
        models.pull_from_hub("hf:someone/GGUF:missing.gguf")


def test_what_is_not_there(hub, tmp_path):
    for name in ("hf:someone/Nothing", "hf:someone/Tiny@v9"):
        with pytest.raises(ModelFetchError, match="could not fetch someone/"):
            ModelStore(tmp_path).pull_from_hub(name, "x")


def test_a_known_model_of_the_hub(hub, tiny_folder, tmp_path, monkeypatch):
    model = registry.KnownModel(
        "hubbed", "a test", "MIT", 1, 1, None, None,
        {"kind": "hub", "repository": "someone/Tiny", "revision": "main", "format": "folder"},
    )  # fmt: skip
    monkeypatch.setattr(store, "known_model", lambda name: model)
    pack = ModelStore(tmp_path).pull("hubbed")
    assert pack.identity == build_pack(read_folder(tiny_folder, "x")).identity
    assert pack.notes["source"] == f"someone/Tiny@{COMMIT}" and pack.notes["licence"] == "MIT"
    del hub.repositories["someone/Tiny"]
    with pytest.raises(ModelFetchError, match="could not fetch"):
        ModelStore(tmp_path / "other").pull("hubbed")


def test_the_command_takes_the_environment_of_the_hub(hub, tmp_path, tiny_home):
    environment = {k: v for k, v in os.environ.items() if k != "LMZIP_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "LMZIP_HOME": str(tmp_path)}

    def run(*words, **extra):
        return subprocess.run(
            [sys.executable, "-m", "lmzip", *words], input=b"some words", capture_output=True,
            env=environment | extra, timeout=60, check=False,
        )  # fmt: skip

    result = run("models", "pull", "hf:someone/Tiny", "--name", "mine")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"mine: identity ") and b"fetching" in result.stderr
    assert [ask for ask in hub.asked if ask[2] != "Bearer hf_secret"] == []
    result = run("models", "pull", "hf:someone", LMZIP_OFFLINE="1")
    assert result.returncode == 2 and b"is not of the form" in result.stderr


def test_known_models_with_sizes_and_licences(lmzip):
    shown = lmzip("models", "list", "--known").stdout.decode()
    row = next(line for line in shown.splitlines() if line.startswith("smollm2-360m"))
    assert "~720 MB" in row and "Apache-2.0" in row and "4-9" in row
    assert "HuggingFaceTB/SmolLM2-360M" in row


@pytest.mark.parametrize(
    "wrong",
    ["hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:a/b:", "hf:a/b:x.bin", "hf:a/..",
     "hf:a/b:../x.gguf", "hf:a/b@../c", "hf:a/b c", "hf:a/b@x:/y.gguf"],
)  # fmt: skip
def test_names_that_are_none(wrong):
    with pytest.raises(UsageError):
        HubName.parse(wrong)


def test_names():
    found = HubName.parse("hf:Owner/Some-Model.v2@refs/pr/1:folder/File-Q4.gguf")
    assert found == HubName("Owner/Some-Model.v2", "refs/pr/1", "folder/File-Q4.gguf")
    assert found.model_name() == "file-q4"
    assert HubName.parse("hf:Owner/Some-Model").model_name() == "some-model"
