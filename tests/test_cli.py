"""The command line as a user types it: bytes, messages, exit codes, files left behind."""

from __future__ import annotations

import functools
import io
import json
import os
import pty
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lmzip as api
from lmzip.format import read_header

TEXT = (
    b"The model says how likely each next token is, and a range coder turns that into bits.\n"
    b"The archive names its model; the decoder asks the same model again, on any machine.\n"
    b"An error is one line and an exit code, and nothing is ever left half written.\n"
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_bytes(TEXT)
    return path


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def failed_with(result, message, code=1):
    """One line on standard error, that exit code, nothing on standard output."""
    assert result.returncode == code, result.stderr
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("lmzip: ")
    assert message in lines[0]
    assert result.stdout == b""


def test_round_trip_keeps_the_input_mode_and_time(lmzip, text, tmp_path):
    text.chmod(0o640)
    os.utime(text, ns=(10**18, 10**18 + 123456789))
    result = lmzip("note.txt")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert listing(tmp_path) == ["note.txt", "note.txt.lmz"]
    archive = tmp_path / "note.txt.lmz"
    assert archive.stat().st_size < len(TEXT)
    info = archive.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns) == (0o640, 10**18 + 123456789)
    text.unlink()
    result = lmzip("-d", "note.txt.lmz")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert text.read_bytes() == TEXT
    assert stat.S_IMODE(text.stat().st_mode) == 0o640


def test_pipes(lmzip):
    packed = lmzip(stdin=TEXT)
    assert packed.returncode == 0
    assert lmzip("-d", stdin=packed.stdout).stdout == TEXT
    assert lmzip("-dc", "-", stdin=packed.stdout + packed.stdout).stdout == TEXT + TEXT


def test_stdout_and_several_files(lmzip, text, tmp_path):
    (tmp_path / "b").write_bytes(b"second")
    packed = lmzip("-c", "note.txt", "b")
    assert listing(tmp_path) == ["b", "note.txt"]
    assert lmzip("-dc", stdin=packed.stdout).stdout == TEXT + b"second"


def test_a_missing_folder_is_named(lmzip, text):
    failed_with(lmzip("-o", "nowhere/x.lmz", "note.txt"), "nowhere/x.lmz: No such file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "words", [("-f", "-o"), ("pair", "-f", "note.txt", "-o"), ("distance", "note.txt", "--csv")]
)
def test_pipes_are_written_to_and_links_followed(lmzip, text, tmp_path, words):
    """Not replaced by files of their names."""
    (tmp_path / "other.txt").write_bytes(TEXT[::-1])
    names = ("note.txt",) if words[0] == "-f" else ("other.txt",)
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    real.write_bytes(b"before")
    link.symlink_to("real")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        assert lmzip(*words, "pipe", *names).returncode == 0
        written = read.result(timeout=60)
    assert pipe.is_fifo()
    assert lmzip(*words, "link", *names).returncode == 0
    assert link.is_symlink()
    assert real.read_bytes() == written != b""


def test_output_name_rm_and_force(lmzip, text, tmp_path):
    assert lmzip("-o", "x.lmz", "--rm", "note.txt").returncode == 0
    assert listing(tmp_path) == ["x.lmz"]
    assert lmzip("-d", "x.lmz").returncode == 0
    assert (tmp_path / "x").read_bytes() == TEXT
    failed_with(lmzip("-d", "x.lmz"), "x already exists")
    assert lmzip("-df", "--rm", "x.lmz").returncode == 0
    assert listing(tmp_path) == ["x"]


def test_refuses_the_wrong_suffix(lmzip, text, tmp_path):
    failed_with(lmzip("-d", "note.txt"), "unknown suffix")
    (tmp_path / "a.lmz").write_bytes(b"x")
    failed_with(lmzip("a.lmz"), "already has suffix")


def test_missing_files_do_not_stop_the_others(lmzip, text, tmp_path):
    result = lmzip("nothing.txt", "note.txt", ".")
    assert result.returncode == 1
    lines = result.stderr.decode().splitlines()
    assert lines[0] == "lmzip: nothing.txt: No such file or directory"
    assert "is a directory" in lines[1]
    assert len(lines) == 2
    assert (tmp_path / "note.txt.lmz").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "cut short"),
        (lambda b: b[:40], "cut short"),
        (lambda b: b"", "empty"),
        (lambda b: b"PK" + b, "not an lmzip archive"),
        (lambda b: b[:3] + b"\xe4" + b[4:], "format version 7"),
        (lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:], "damaged"),
        (lambda b: b + b"junk", "after the end of the archive"),
    ],
)
def test_damage_is_one_line_and_leaves_nothing(lmzip, text, tmp_path, damage, message):
    packed = lmzip("-c", "note.txt").stdout
    (tmp_path / "bad.lmz").write_bytes(damage(packed))
    before = listing(tmp_path)
    failed_with(lmzip("-d", "bad.lmz"), message)
    failed_with(lmzip("-t", "bad.lmz"), message)
    assert listing(tmp_path) == before


def test_test_and_verbose(lmzip, text):
    result = lmzip("-v", "note.txt")
    assert f"note.txt: {len(TEXT)} -> ".encode() in result.stderr
    assert b"(1 mixed)" in result.stderr
    result = lmzip("-tv", "note.txt.lmz")
    assert result.stderr.decode() == f"note.txt.lmz: OK, {len(TEXT)} bytes\n"
    assert lmzip("-t", "note.txt.lmz").stderr == b""


def test_list_and_info(lmzip, text, tmp_path):
    lmzip("note.txt")
    shutil.copy(tmp_path / "note.txt.lmz", tmp_path / "other.lmz")
    size = (tmp_path / "other.lmz").stat().st_size
    result = lmzip("-l", "note.txt.lmz", "other.lmz")
    lines = result.stdout.decode().splitlines()
    assert lines[1].split() == [
        str(size), str(len(TEXT)), f"{8 * size / len(TEXT):.3g}", "golden-tiny", "note.txt",
    ]  # fmt: skip
    assert lines[3].split()[:2] == [str(2 * size), str(2 * len(TEXT))]
    found = json.loads(lmzip("info", "--json", "note.txt.lmz").stdout)
    assert found["content_bytes"] == len(TEXT)
    assert found["archives"][0]["model"]["window"] == 512
    assert b"identity" in lmzip("info", "note.txt.lmz").stdout
    failed_with(lmzip("info", "note.txt"), "not an lmzip archive")
    failed_with(lmzip("-l", "-"), "cannot be listed")


def test_parameters_reach_the_header(lmzip, text):
    lmzip("--window", "64", "--stream-length", "50", "--block-size", "1k", "note.txt")
    model = json.loads(lmzip("info", "--json", "note.txt.lmz").stdout)["archives"][0]["model"]
    assert (model["window"], model["stream_tokens"]) == (64, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "none", "note.txt"], "not a valid integer"),
        (["--block-size", "many", "note.txt"], "not a size"),
        (["--nonsense"], "No such option"),
        (["-o", "x", "note.txt", "note.txt"], "one input file"),
        (["-o", "x", "-c", "note.txt"], "cannot be combined"),
        (["models", "dance"], "No such command"),
        (["--window", "0", "note.txt"], "window must be between"),
        (["--window", "100000", "note.txt"], "longer than the model's context"),
        (["-T", "100000", "note.txt"], "not in the range"),
        (["-m", "../x", "note.txt"], "not a model name"),
        (["--device", "gpu", "note.txt"], "no device"),
        (["-q", "measure", "note.txt"], "after the subcommand"),
    ],
)
def test_wrong_usage(lmzip, text, arguments, message):
    failed_with(lmzip(*arguments), message, code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "nobody", "note.txt"], "no model named 'nobody'"),
        (["-m", "smollm2-135m", "note.txt"], "offline"),
        (["--memory-limit", "1k", "note.txt"], "the limit is"),
        (["--device", "cuda:77", "note.txt"], "device"),
    ],
)
def test_what_cannot_be_done(lmzip, text, tmp_path, arguments, message):
    before = listing(tmp_path)
    failed_with(lmzip(*arguments), message)
    assert listing(tmp_path) == before


def test_an_archive_of_an_unknown_model(lmzip, text, tmp_path):
    packed = lmzip("-c", "note.txt").stdout
    result = lmzip("-d", stdin=packed, LMZIP_HOME=str(tmp_path / "empty"))
    failed_with(result, "needs model golden-tiny")


def test_incompressible_input_needs_no_model(lmzip, tmp_path):
    data = random.Random(0).randbytes(50_000)
    packed = lmzip(stdin=data, LMZIP_HOME=str(tmp_path / "empty"))
    assert packed.returncode == 0
    assert len(packed.stdout) <= 50_000 * 1.001 + 64
    assert lmzip("-d", stdin=packed.stdout, LMZIP_HOME=str(tmp_path / "empty")).stdout == data


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
def test_tar_both_ways(lmzip, text, tmp_path, tiny_home):
    wrapper = tmp_path / "lmzip"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmzip "$@"\n')
    wrapper.chmod(0o755)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(text, folder / "deep" / "a.txt")
    (folder / "empty").write_bytes(b"")
    environment = os.environ | {
        "LMZIP_HOME": str(tiny_home),
        "LMZIP_MODEL": "tiny",
        "LMZIP_THREADS": "1",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    tar = ["tar", "--use-compress-program=lmzip"]
    run = {"cwd": tmp_path, "env": environment, "check": True, "timeout": 120}
    subprocess.run([*tar, "-cf", "f.tar.lmz", "folder"], **run)
    shutil.rmtree(folder)
    subprocess.run([*tar, "-xf", "f.tar.lmz"], **run)
    assert (folder / "deep" / "a.txt").read_bytes() == TEXT


def terminal(arguments, tiny_home, **options):
    """Run with a terminal as standard output (and error); what it showed, and the exit code."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lmzip", *arguments],
        stdout=theirs, stderr=theirs, env=environment, **options,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return shown, process.wait(timeout=60)


def test_no_binary_to_a_terminal(text, tiny_home, tmp_path):
    shown, code = terminal(["-c", "note.txt"], tiny_home, cwd=tmp_path)
    assert code == 2
    assert b"not written to a terminal" in shown
    assert b"LMZ" not in shown


def compressing(tiny_home, tmp_path):
    """A process in the middle of compressing big.txt: its temporary file is there."""
    (tmp_path / "big.txt").write_bytes(TEXT * 20_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "lmzip", "big.txt"],
        cwd=tmp_path, stderr=subprocess.PIPE,
        env=os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"},
        # A shell starts background jobs with SIGINT ignored, and tests may run in one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(name.endswith(".tmp") for name in os.listdir(tmp_path)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_leave_no_partial_file(tiny_home, tmp_path, number):
    process = compressing(tiny_home, tmp_path)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert listing(tmp_path) == ["big.txt"]
    assert b"Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_and_its_echo(tiny_home, tmp_path, number):
    process = compressing(tiny_home, tmp_path)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.002)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, 143, -number)  # the last came when all was done
    assert listing(tmp_path) == ["big.txt"]
    assert b"Traceback" not in errors


def test_a_reader_that_leaves(lmzip, text, tmp_path, tiny_home):
    (tmp_path / "big").write_bytes(TEXT * 2000)
    packed = lmzip("-c", "big", "--block-size", "100k")
    assert packed.returncode == 0
    (tmp_path / "x.lmz").write_bytes(packed.stdout)
    process = subprocess.run(
        f'"{sys.executable}" -m lmzip -dc x.lmz | head -c 10',
        shell=True, cwd=tmp_path, capture_output=True, check=False,
        env=os.environ | {"LMZIP_HOME": str(tiny_home)},
    )  # fmt: skip
    assert process.stdout == TEXT[:10]
    assert process.stderr == b""


def test_one_flipped_kind_is_an_error_in_listings(lmzip, text, tmp_path):
    (tmp_path / "twice").write_bytes(TEXT * 2)
    packed = bytearray(lmzip("-c", "twice", "--block-size", "64").stdout)
    _, header = read_header(io.BytesIO(bytes(packed)))
    packed[len(header)] ^= 16
    (tmp_path / "flip.lmz").write_bytes(packed)
    assert b"unknown kind" in lmzip("-t", "flip.lmz").stderr
    assert b"unknown kind" in lmzip("info", "flip.lmz").stderr


def test_devices_and_pipes_are_written_to_not_replaced(lmzip, text, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE) as reader:
        assert lmzip("-o", "pipe", "note.txt").returncode == 0
        packed = reader.communicate(timeout=60)[0]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert lmzip("-d", stdin=packed).stdout == TEXT
    (tmp_path / "folder").mkdir()
    failed_with(lmzip("-f", "-o", "folder", "note.txt"), "is a directory")


def test_closed_standard_streams(text, tiny_home, tmp_path):
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    for command in ("-c note.txt >&-", "-c <&-", "models list >&-"):
        result = subprocess.run(
            f'"{sys.executable}" -m lmzip {command}',
            shell=True, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert b"Traceback" not in result.stderr, command


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc here")
def test_files_that_do_not_know_their_size(lmzip):
    packed = lmzip("-c", "/proc/cpuinfo")
    assert packed.returncode == 0
    assert lmzip("-t", stdin=packed.stdout).returncode == 0


def test_help_and_version(lmzip):
    import lmzip as package

    result = lmzip("--help")
    assert result.returncode == 0
    for word in (b"--decompress", b"models", b"Exit codes", b"Usage: lmzip [OPTIONS]"):
        assert word in result.stdout
    assert lmzip("-V").stdout.decode() == f"lmzip {package.__version__}\n"
    for command in (["models"], ["info"]):
        assert b"Usage: lmzip " + command[0].encode() in lmzip(*command, "--help").stdout


def test_models_commands(lmzip, tiny_folder, tmp_path):
    home = {"LMZIP_HOME": str(tmp_path / "home")}
    assert b"not pulled" in lmzip("models", "list", **home).stdout
    added = lmzip("models", "add", str(tiny_folder), "--name", "mine", **home)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith(b"mine: identity ")
    failed_with(
        lmzip("models", "add", str(tiny_folder), "--name", "mine", **home), "already exists"
    )
    assert b"mine" in lmzip("models", "list", **home).stdout
    assert b"(not pulled)" in lmzip("models", "info", "smollm2-135m", **home).stdout
    assert b"(verified)" in lmzip("models", "info", "mine", **home).stdout
    failed_with(lmzip("models", "add", "nowhere", **home), "no such file")
    failed_with(lmzip("models", "info", "nobody", **home), "not installed")
    failed_with(lmzip("models", "rm", "nobody", **home), "not installed")
    assert lmzip("models", "rm", "mine", **home).returncode == 0
    assert b"mine" not in lmzip("models", "list", **home).stdout
    failed_with(lmzip("models", "pull", "smollm2-135m-instruct", **home), "offline")


def test_a_closed_standard_error_gets_nothing_into_the_data(lmzip, text, tiny_home, tmp_path):
    assert lmzip("note.txt").returncode == 0
    (tmp_path / "bad.lmz").write_bytes(b"no archive")
    run = functools.partial(
        subprocess.run, shell=True, cwd=tmp_path, capture_output=True, check=False, timeout=60,
        env=os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"},
    )  # fmt: skip
    command = f"{sys.executable} -m lmzip"
    made = run(f"{command} -c -v note.txt 2>&-")
    assert (made.returncode, made.stdout) == (0, (tmp_path / "note.txt.lmz").read_bytes())
    read = run(f"{command} -dc bad.lmz note.txt.lmz 2>&-")
    assert (read.returncode, read.stdout) == (1, TEXT)


def test_names_that_are_no_utf8_are_listed(lmzip, text, tmp_path):
    assert lmzip("note.txt").returncode == 0
    os.rename(tmp_path / "note.txt.lmz", os.fsencode(tmp_path) + b"/n\xff.lmz")
    for words in (["-l"], ["info"]):
        listed = lmzip(*words, os.fsdecode(b"n\xff.lmz"), PYTHONIOENCODING="utf-8")
        assert (listed.returncode, listed.stderr) == (0, b"")
        assert rb"n\udcff" in listed.stdout


def test_standard_input_behind_its_end(text, tiny_home, tmp_path):
    with open(tmp_path / "note.txt", "rb") as file:
        file.seek(10_000_000)
        done = subprocess.run(
            [sys.executable, "-m", "lmzip", "-c"], stdin=file, capture_output=True, check=False,
            env=os.environ | {"LMZIP_HOME": str(tiny_home)}, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert api.decompress(done.stdout) == b""


def test_values_that_are_none(lmzip, text):
    for words in (
        ("--block-size", "9" * 5000),
        ("--memory-limit", "9" * 5000),
        ("--think", "5", "--temperature", "1e400"),
        ("--think", "5", "--prompt", "{think}{think}"),
    ):
        result = lmzip("-c", *words, "note.txt")
        assert result.returncode == 2
        assert result.stderr.count(b"\n") == 1
    far = ("--think", "65536", "--think-every", "1", "--window", "8", "--given-always")
    text.write_bytes(TEXT * 1000)
    failed_with(lmzip("-c", *far, "--stream-length", "30000", "note.txt"), "the limit is", 2)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LMZIP_MODEL", "nobody", b"lmzip: there is no model named 'nobody'"),
        ("LMZIP_ISA", "none", b'lmzip: this machine has no instruction set "none"'),
    ],
)
def test_a_model_or_engine_that_is_not_there_is_not_the_files_fault(
    lmzip, tmp_path, variable, value, message
):
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_bytes(b"Some words, and again some words. " * 20)
    result = lmzip("one.txt", "two.txt", **{variable: value})
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count(b"\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["one.txt", "two.txt"]
