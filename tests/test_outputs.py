"""Who may read an output, what --rm removes, and outputs whose metadata a file system refuses."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import lmzip as api
from lmzip.files import atomic_output

TEXT = b"A private text, which nobody else may read before or after.\n" * 3


@pytest.fixture
def files(tmp_path):
    for name, mode in (("private", 0o600), ("public", 0o644)):
        (tmp_path / name).write_bytes(TEXT)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ended_well(result):
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.parametrize(
    ("words", "output", "wanted"),
    [
        ("private", "private.lmz", 0o600),
        ("public", "public.lmz", 0o644),
        ("pair private public -o p.lmz", "p.lmz", 0o600),
        ("pair public public -o p.lmz", "p.lmz", 0o644),
        ("-o n.lmz /dev/null", "n.lmz", 0o644),
        ("measure -q private --per-token t", "t", 0o600),
        ("measure -q public private --html h", "h", 0o600),
        ("measure -q public --html h", "h", 0o644),
        ("distance -q --coder xz private public --csv c", "c", 0o644),
    ],
)
def test_an_output_is_as_private_as_what_it_is_made_from(
    lmzip, files, umask, words, output, wanted
):
    ended_well(lmzip(*words.split()))
    assert mode(files / output) == wanted


def test_process_substitutions_and_pipes_have_no_mode_of_their_own(files, tiny_home, umask):
    os.mkfifo(files / "pipe", 0o777)
    line = (
        f'm="{sys.executable} -m lmzip"; $m -o s.lmz <(cat public) && '
        "(cat public > pipe & $m -o q.lmz pipe)"
    )
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    subprocess.run(["bash", "-c", line], cwd=files, env=environment, check=True, timeout=120)
    assert mode(files / "s.lmz") == mode(files / "q.lmz") == 0o644


@pytest.mark.parametrize("old", [0o600, 0o640, 0o664])
def test_what_is_replaced_keeps_its_mode(lmzip, files, tiny_models, umask, old):
    targets = [files / name for name in ("x.lmz", "h", "c", "y.lmz", "p.lmz")]
    for target in targets:
        target.write_bytes(b"before")
        target.chmod(old)
    ended_well(lmzip("-f", "-o", "x.lmz", stdin=TEXT))
    ended_well(lmzip("measure", "-q", "public", "--html", "h"))
    ended_well(lmzip("distance", "-q", "--coder", "xz", "private", "public", "--csv", "c"))
    with api.open(files / "y.lmz", "wb", model=tiny_models) as file:
        file.write(TEXT)
    ended_well(lmzip("pair", "-f", "public", "public", "-o", "p.lmz"))
    for target in targets:
        assert target.read_bytes() != b"before"
        within = 0o644 if target.name in ("h", "p.lmz") else 0o777
        assert mode(target) == old & within, target


def test_an_archive_of_a_private_file_takes_no_public_place(lmzip, files, umask):
    (files / "private.lmz").write_bytes(b"")
    (files / "private.lmz").chmod(0o666)
    ended_well(lmzip("-f", "private"))
    assert mode(files / "private.lmz") == 0o600


def test_the_umask_is_never_changed(files, monkeypatch):
    def refuse(value):
        raise AssertionError("other threads would make files with it")

    monkeypatch.setattr(os, "umask", refuse)
    with atomic_output(files / "new", overwrite=False) as file:
        file.write(b"x")
    assert (files / "new").read_bytes() == b"x"


@pytest.mark.parametrize("words", ["-o /dev/null", "-o pipe", "-c", "-o /dev/stdout", "-t"])
def test_rm_removes_nothing_without_a_regular_output(lmzip, files, words):
    os.mkfifo(files / "pipe")
    name = "public"
    if words == "-t":
        ended_well(lmzip("public"))
        name = "public.lmz"
    with contextlib.ExitStack() as stack:
        if "pipe" in words:
            stack.enter_context(subprocess.Popen(["cat", files / "pipe"], stdout=subprocess.PIPE))
        ended_well(lmzip(*words.split(), "--rm", name))
    assert (files / name).exists()


def test_dev_stdout_is_standard_output(files, tiny_home):
    """A file that standard output goes to is not replaced, nor cut short where it is added to."""
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    for redirect in (">", ">>"):
        (files / "out").write_bytes(b"before")
        line = f"{sys.executable} -m lmzip public -o /dev/stdout {redirect} out"
        subprocess.run(["bash", "-c", line], cwd=files, env=environment, check=True, timeout=60)
        found = (files / "out").read_bytes()
        assert found.startswith(b"before") == (redirect == ">>")
        assert b"LMZ" in found or len(found) > 20


def test_rm_of_pipes_and_links(lmzip, files, tiny_home):
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    line = f"{sys.executable} -m lmzip --rm -o s.lmz <(cat public)"
    done = subprocess.run(
        ["bash", "-c", line], cwd=files, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 1 and b"not a regular file" in done.stderr
    assert not (files / "s.lmz").exists()  # refused before any work
    (files / "link").symlink_to("public")
    os.link(files / "private", files / "other")
    for name, why in (("link", b"symbolic link"), ("other", b"hard link")):
        result = lmzip("--rm", name)
        assert result.returncode == 1 and why in result.stderr
        assert (files / name).exists() and not (files / f"{name}.lmz").exists()
        ended_well(lmzip("--rm", "-f", name))
        assert not os.path.lexists(files / name) and (files / f"{name}.lmz").exists()
    assert (files / "public").exists() and (files / "private").exists()
    ended_well(lmzip("--rm", "public"))
    assert not (files / "public").exists()


def test_rm_keeps_what_has_changed_meanwhile(files, tiny_home, tmp_path):
    """A log that grows while it is read."""
    program = (
        "import sys, lmzip.codec, lmzip.codec.compressor as c\n"
        "old = c.compress_stream\n"
        "def grown(source, *args, **options):\n"
        "    found = old(source, *args, **options)\n"
        "    open('public', 'ab').write(b'one more line')\n"
        "    return found\n"
        "lmzip.codec.compress_stream = grown\n"
        "from lmzip.cli.main import main\n"
        "sys.argv = ['lmzip', '--rm', 'public']\n"
        "main()\n"
    )
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=files, env=environment, capture_output=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and b"changed while it was read" in done.stderr
    assert (files / "public").read_bytes() == TEXT + b"one more line"


SABOTAGE = """
import errno, os, sys
def refuse(*args, **options):
    raise OSError(errno.{code}, os.strerror(errno.{code}))
for name in {names}:
    setattr(os, name, refuse)
from lmzip.cli.main import main
sys.argv = ["lmzip", *{words}]
main()
"""


@pytest.mark.parametrize(
    ("names", "code", "fails"),
    [
        (["chmod"], "EPERM", False),
        (["utime"], "EPERM", False),
        (["chown", "link"], "EPERM", False),
        (["fsync"], "EINVAL", False),
        (["chmod", "utime", "chown", "fsync", "link"], "ENOTSUP", False),
        (["fsync"], "EIO", True),
        (["fsync"], "ENOSPC", True),
    ],
)
@pytest.mark.parametrize("words", [["private"], ["pair", "private", "public", "-o", "p.lmz"]])
def test_metadata_that_is_refused_costs_no_result(files, tiny_home, names, code, fails, words):
    program = SABOTAGE.format(names=names, code=code, words=words)
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=files, env=environment, capture_output=True,
        check=False, timeout=60,
    )  # fmt: skip
    output = files / ("p.lmz" if "pair" in words else "private.lmz")
    assert done.returncode == int(fails), done.stderr
    assert output.exists() != fails
    assert done.stderr.count(b"\n") <= 2 and b".lmzip-" not in done.stderr
    if fails:
        assert b"lmzip: " in done.stderr
        assert sorted(os.listdir(files)) == ["private", "public"]
    else:
        assert mode(output) == 0o600
        told = names != ["chown", "link"] and not ("pair" in words and "fsync" not in names)
        assert (b"was written, but" in done.stderr) == told
