"""`lmzip measure` and `lmzip compare` when something is wrong: what is refused, said and kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lmzip.corpora import CorpusStore, make_manifest, manifest_text
from lmzip.errors import CorpusError, CorruptError
from lmzip.measure import ResultStore, find_documents

from .test_measure import LINE, lmzip_command


@pytest.fixture
def texts(tmp_path):
    """Two short texts, and one that is empty."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("".join(LINE % i for i in range(5)))
    (folder / "b.txt").write_text("".join(LINE % (7 * i) for i in range(9)))
    (folder / "empty").write_text("")
    return folder


def refused(*arguments, said, code=2):
    run = lmzip_command(*arguments)
    assert (run.returncode, run.stdout) == (code, ""), run.stderr
    assert said in run.stderr and run.stderr.count("\n") == 1, run.stderr


def names(run):
    """Documents and models of a measurement's JSON lines, without sums."""
    rows = map(json.loads, run.stdout.splitlines())
    return [(os.path.basename(r["document"]), r["model"]) for r in rows if not r["pooled"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alternatives", 3), "--alternatives needs --per-token"),
        (("--heat-map", 99), "--heat-map needs --html"),
        (("--heat-map-of", "*"), "--heat-map-of needs --html"),
        (("--dtype", "float16"), "--dtype needs a float model"),
        (("--protocol", "lm-eval", "--solid"), "--solid needs archives"),
        (("--protocol", "lm-eval", "--decode"), "--decode needs archives"),
        (("-m", "float:x", "--stream-length", 64), "--stream-length needs archives"),
        (("--protocol", "cril", "--window", 2048), "--window cannot be combined"),
    ],
)
def test_options_without_effect(texts, options, said):
    refused("measure", texts, *options, said=said)


def test_options_that_exclude_each_other(texts):
    refused("compare", texts, "-c", "gzip", "--no-compressors", said="cannot be combined")


def test_outputs_never_replace_inputs(texts, tmp_path):
    document, link = texts / "a.txt", tmp_path / "link"
    link.symlink_to(document)
    before = document.read_bytes()
    for option in ("--html", "--per-token", "--results"):
        refused("measure", texts, option, document, said="would overwrite a document")
        refused("measure", texts, option, link, said="would overwrite a document")
    same = tmp_path / "out"
    refused("measure", texts, "--html", same, "--results", same, said="--html names the same file")
    (tmp_path / "plot.svg").write_text("<svg/>")
    refused("compare", tmp_path / "plot.svg", "--plots", tmp_path, said="might overwrite plot.svg")
    assert document.read_bytes() == before and not same.exists()


@pytest.mark.parametrize("held", ["{", '{"', '{"a', '{"archive_bytes"', '{"notes": 1}', "x"])
def test_a_store_is_never_a_file_of_something_else(tmp_path, held):
    path = tmp_path / "notes.json"
    path.write_text(held)
    with pytest.raises(CorruptError):
        ResultStore(path)
    assert path.read_text() == held


def test_a_store_of_before(texts, tmp_path):
    """Rows without fields that came later are read; rows without bits are not."""
    results = tmp_path / "results.jsonl"
    lmzip_command("measure", texts / "a.txt", "--results", results)
    row = json.loads(results.read_text())
    del row["resumed"], row["documents"], row["unscored_tokens"]
    results.write_text(json.dumps(row, sort_keys=True) + "\n")
    again = lmzip_command("measure", texts / "a.txt", "--results", results, "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["resumed"]
    assert results.read_text().count("\n") == 1
    row |= {"archive_bytes": None, "ideal_bits": None}
    results.write_text(json.dumps(row, sort_keys=True) + "\n")
    with pytest.raises(CorruptError, match="line 1"):
        ResultStore(results)


def test_what_is_named_twice_counts_once(texts, tmp_path):
    (texts / "link.txt").symlink_to(texts / "a.txt")
    page = tmp_path / "page.html"
    run = lmzip_command(
        "measure", texts, texts / "a.txt", f"{texts}/../texts/b.txt", "--json", "--html", page,
        "-m", "lmzip-3m", "-m", "lmzip-3m",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert names(run) == [("a.txt", "lmzip-3m"), ("b.txt", "lmzip-3m")]
    assert "named more than once, counted once" in run.stderr
    assert "left out because empty" in run.stderr
    assert page.read_text().count('class="map"') == 2
    quiet = lmzip_command("measure", texts, texts / "a.txt", "-q")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_methods_of_one_name(texts, tmp_path):
    """One that is another's double is left out; two that are not get names of their own."""
    echo = f"x={sys.executable} -c 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())'"
    run = lmzip_command(
        "compare", texts, "-m", "lmzip-1m", "-c", "gzip", "-c", "gzip", "--command", "x=cat",
        "--command", echo, "--json", "--html", tmp_path / "page.html",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert sorted(m["model"] for m in found["methods"]) == ["gzip -9", "lmzip-1m", "x", "x (2)"]
    assert "measured once: gzip -9" in run.stderr


def test_a_pipe_is_read_once(texts):
    """By two models, and again for what is written about tokens."""
    line = f"{sys.executable} -m lmzip measure <(cat {texts}/a.txt) -m lmzip-1m -m lmzip-3m --json"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    sizes = [json.loads(row)["content_bytes"] for row in run.stdout.splitlines()]
    assert sizes == [(texts / "a.txt").stat().st_size] * 2
    os.mkfifo(texts / "rows.jsonl")
    refused("measure", texts / "rows.jsonl", "--field", "text", said="a pipe cannot be read again")


def test_folders_that_cannot_be_read(texts, monkeypatch):
    (texts / "closed").mkdir()
    listed = os.scandir

    def scandir(path="."):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    documents = find_documents([str(texts)])
    assert len(list(documents)) == 3
    assert documents.places.unreadable == [f"{texts}/closed: Permission denied"]


def test_an_unreadable_folder_is_a_failure(texts, tmp_path):
    (texts / "closed").mkdir(mode=0)
    if os.access(texts / "closed", os.R_OK):  # root may
        (tmp_path / "sitecustomize.py").write_text(
            "import os\nlisted = os.scandir\n"
            "def scandir(path='.'):\n"
            "    if str(path).endswith('closed'):\n"
            "        raise PermissionError(13, 'Permission denied', str(path))\n"
            "    return listed(path)\n"
            "os.scandir = scandir\n"
        )
    inherited = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{inherited}"}
    run = lmzip_command("measure", texts, "--json", env=environment)
    assert run.returncode == 1 and "closed: Permission denied" in run.stderr
    assert len(names(run)) == 2


def test_a_model_that_does_not_suit_costs_only_itself(texts, tiny_folder):
    """Wrong usage of the second model is known when the first is measured."""
    run = lmzip_command(
        "measure", texts, "-m", "lmzip-1m", "-m", f"float:{tiny_folder}", "-m", "lmzip-3m",
        "--window", 800, "--json",
    )  # fmt: skip
    assert run.returncode == 2
    assert "longer than the model's context of 512" in run.stderr
    assert {model for _, model in names(run)} == {"lmzip-1m", "lmzip-3m"}


def test_cril_needs_its_windows(texts, tiny_folder):
    run = lmzip_command("measure", texts, "-m", f"float:{tiny_folder}", "--protocol", "cril")
    assert (run.returncode, run.stdout) == (2, "")
    assert "cril reads 1,900 tokens at once, the model 512 at most" in run.stderr


def test_no_device_there(texts, tiny_folder):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a device")
    run = lmzip_command("measure", texts, "-m", f"float:{tiny_folder}", "--device", "cuda")
    assert run.returncode == 2 and run.stderr.startswith("lmzip: cuda: ")
    assert run.stderr.count("Traceback") == 0


def test_why_nothing_can_be_compared(texts):
    failing = f"bad={sys.executable} -c 'raise SystemExit(3)'"
    arguments = ("compare", texts, "-m", "lmzip-1m", "-c", "gzip", "--command", failing)
    run = lmzip_command(*arguments)
    assert run.returncode == 1 and "failed (3)" in run.stderr
    assert "| gzip -9 " in run.stdout  # `bad` has measured nothing: the others are compared
    half = (
        f"half={sys.executable} -c 'import sys; d = sys.stdin.buffer.read(); "
        "len(d) > 600 and sys.exit(1); sys.stdout.buffer.write(d)'"
    )
    other = half.replace("half=", "other=").replace("> 600", "< 600")
    arguments = ("compare", texts, "-m", "lmzip-1m", "--no-compressors",
                 "--command", half, "--command", other)  # fmt: skip
    run = lmzip_command(*arguments)
    lines = run.stderr.splitlines()
    assert run.returncode in (1, 2)
    assert sum("failed (1)" in line for line in lines) == 2
    assert "no document was measured by all methods" in lines[-1]
    assert "a.txt" in run.stdout and "b.txt" in run.stdout
    found = json.loads(lmzip_command(*arguments, "--json").stdout)
    assert len(found["measurements"]) == 4 and len(found["failures"]) == 3


def test_a_comparison_for_machines(texts):
    missing = texts / "latin.txt"
    missing.write_bytes(b"\xff" * 50)
    only_text = f"utf8={sys.executable} -c 'import sys; print(sys.stdin.buffer.read().decode())'"
    run = lmzip_command(
        "compare", texts, "-m", "lmzip-1m", "--no-compressors", "--command", only_text, "--json"
    )
    found = json.loads(run.stdout)
    assert found["left_out"] == [str(missing)] and run.returncode == 1
    assert len(found["failures"]) == 1 and "latin.txt" in found["failures"][0]
    assert found["power_law"] is None and found["ranked"] == 1  # nobody decoded the command's


def test_interrupted(tmp_path):
    """Ctrl-C: what was measured is shown and written, and the exit code says so."""
    folder, results, rows = tmp_path / "many", tmp_path / "results", tmp_path / "rows.jsonl"
    folder.mkdir()
    for i in range(200):
        (folder / f"{i:03}.txt").write_text("".join(LINE % (i * j) for j in range(30)))
    command = [sys.executable, "-m", "lmzip", "measure", folder, "--results", results, "--json",
               "--per-token", rows, "--html", tmp_path / "page.html"]  # fmt: skip
    run = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell starts background jobs with SIGINT ignored, and tests may run in one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while not results.exists() or results.read_bytes().count(b"\n") < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "interrupted" in err, err
    measured = [json.loads(line)["document"] for line in out.splitlines()]
    assert 3 <= len(measured) < 200 and measured[-1] == "all"
    shown = {json.loads(line)["document"] for line in rows.read_text().splitlines()}
    assert set(measured[:-2]) <= shown
    assert "200.txt" not in (tmp_path / "page.html").read_text()


def test_nobody_reads_the_tables(texts, tmp_path):
    page, rows = tmp_path / "page.html", tmp_path / "rows.jsonl"
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "lmzip", "measure", str(texts), "--html", str(page),
         "--per-token", str(rows)],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "</html>" in page.read_text() and rows.stat().st_size


def test_plots_that_cannot_be_written(texts, tmp_path):
    """Found out when everything is measured: the table and the page are there all the same."""
    plots, page = tmp_path / "plots", tmp_path / "page.html"
    (plots / "ratio-against-speed.svg").mkdir(parents=True)
    run = lmzip_command("compare", texts, "-m", "lmzip-1m", "--plots", plots, "--html", page)
    assert run.returncode == 1 and "--plots: " in run.stderr
    assert "## Ranking" in run.stdout and page.exists()


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff|\n.txt")
    (tmp_path / name).write_text(LINE * 9)
    for out in ("rows.jsonl", "rows.parquet"):
        if out.endswith("parquet"):
            pytest.importorskip("pyarrow")
        run = lmzip_command("measure", tmp_path / name, "--per-token", tmp_path / out)
        assert run.returncode == 0, run.stderr
        assert r"\udcff\|\n.txt" in run.stdout and (tmp_path / out).stat().st_size


def test_tokens_of_blocks_without_a_model(tmp_path):
    path, rows = tmp_path / "text", tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(os.urandom(2).hex().encode() for _ in range(40)) * 400)
    run = lmzip_command("measure", path, "--per-token", rows, "--json", "--no-mix")
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    assert (measured["modelled_bytes"], measured["bits_per_token"]) == (0, None)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert {row["bits"] for row in found} == {None} and found[0]["model_bits"] > 0
    assert f"{len(found)} of {len(found)} tokens have no bits" in run.stderr


def test_corpora_are_checked_on_use(texts, tmp_path):
    (texts / "empty").unlink()
    manifest = tmp_path / "set.toml"
    manifest.write_text(manifest_text(make_manifest(texts, "set"), beside=tmp_path))
    store = CorpusStore(tmp_path / "home")
    assert len(store.files(str(manifest))) == 2
    data = (texts / "a.txt").read_bytes()
    (texts / "a.txt").write_bytes(data[::-1])  # as long as it was
    with pytest.raises(CorpusError, match="SHA-256"):
        store.files(str(manifest))


def test_a_row_without_text_is_said_once(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "One line of it."}\n{"txt": 1}\n{"text": "And another line."}\n')
    run = lmzip_command("measure", rows, "--field", "text", "--json",
                        "-m", "lmzip-1m", "-m", "lmzip-3m")  # fmt: skip
    assert run.returncode == 1
    assert run.stderr == f"lmzip: {rows}:2: no text in a field 'text'\n"
    measured = [json.loads(line)["document"] for line in run.stdout.splitlines()]
    assert measured == [f"{rows}:1", f"{rows}:3", "all"] * 2
