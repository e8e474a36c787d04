"""lmzcat, lmzgrep, lmzdiff, lmzless as a user types them; what share/ has; completion."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys

import pytest

import lmzip
from lmzip.cli.completion import completion_script
from lmzip.cli.greplike import GrepWords, UnsupportedOption, WordError, split_diff_words
from lmzip.cli.main import lmzip as command
from lmzip.cli.manual import manual_pages
from lmzip.cli.tools import Tool, exit_code
from tools import share

PROGRAM = "from lmzip.cli import tools; tools.{}()"
POEM = b"One line of the poem\nand another line\nthe end of it all\n"


@pytest.fixture
def tool(tiny_home, tmp_path, tiny_models, monkeypatch, capfd):
    """Run a tool in a folder with an archive, a plain file, a binary archive and a cut one."""
    parameters = lmzip.CodingParameters(window=16, mixing_bits=0)
    for name, data in (
        ("poem", POEM),
        ("other", POEM.replace(b"end", b"END")),
        ("bin", b"\0line\n"),
    ):
        packed = lmzip.compress(data, model=tiny_models, parameters=parameters)
        (tmp_path / f"{name}.lmz").write_bytes(packed)
    (tmp_path / "cut.lmz").write_bytes((tmp_path / "poem.lmz").read_bytes()[:-2])
    (tmp_path / "plain").write_bytes(POEM)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMZIP_HOME", str(tiny_home))
    monkeypatch.setenv("LMZIP_OFFLINE", "1")

    def run(name: str, *words: str, stdin: bytes = b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        code = exit_code(Tool(name), list(words))
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def program(tool, tmp_path):
    """Run a tool as a process of its own in that folder."""

    def run(name: str, *words: str):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(name), *words],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    return run


def test_lmzcat(program):
    code, out, error = program("lmzcat", "-f", "plain", "poem.lmz", "missing", "other")
    assert (code, out) == (1, POEM.decode() * 2 + POEM.replace(b"end", b"END").decode())
    assert error == "lmzip: missing: No such file or directory\n"
    code, out, error = program("lmzcat", "plain")
    assert (code, out, error) == (1, "", "lmzip: plain: not an lmzip archive\n")


@pytest.mark.parametrize(
    ("words", "code", "out", "error"),
    [
        ("line poem", 0, "One line of the poem\nand another line\n", ""),
        ("-c line poem.lmz plain", 0, "poem.lmz:2\nplain:2\n", ""),
        ("-hn -A1 -e END other.lmz poem", 0, "3:the END of it all\n", ""),
        ("-l line plain cut.lmz bin.lmz", 2, "plain\nbin.lmz\n", "lmzgrep: cut.lmz: the arc"),
        ("nothing poem.lmz plain", 1, "", ""),
        ("line missing poem.lmz", 2, "poem.lmz:One line of the poem\npoem.lmz:and another line\n",
         "lmzgrep: missing: No such file or directory"),
        ("-q line poem.lmz missing", 0, "", ""),
        ("-r line .", 2, "", "lmzgrep: -r: option not supported"),
        ("--include=x line .", 2, "", "lmzgrep: --include: option not supported"),
        ("-m", 2, "", "lmzgrep: option -m needs a value"),
        ("--count line .", 2, "", "lmzgrep: .: is a directory"),
    ],
)  # fmt: skip
def test_lmzgrep(tool, words, code, out, error):
    found, shown, said = tool("lmzgrep", *words.split())
    assert (found, shown) == (code, out)
    assert said.startswith(error) and bool(said) == bool(error)


def test_lmzgrep_of_standard_input_and_binaries(tool, tmp_path):
    assert tool("lmzgrep", "-H", "end", stdin=POEM)[:2] == (
        0,
        "(standard input):the end of it all\n",
    )
    packed = (tmp_path / "poem.lmz").read_bytes()
    assert tool("lmzgrep", "end", "-", stdin=packed)[:2] == (0, "the end of it all\n")
    code, out, error = tool("lmzgrep", "line", "bin.lmz")
    assert code == 0 and "binary file matches" in (out + error)


def test_words_of_grep_and_diff():
    parsed = GrepWords.parse(["-in", "-A", "2", "--max-count", "3", "word", "a", "-", "--", "-b"])
    assert parsed.options == ["-in", "-A", "2", "--max-count", "3", "-e", "word"]
    assert parsed.files == ["a", "-", "-b"] and not parsed.quiet
    assert GrepWords.parse(["-nfpatterns", "a"]).files == ["a"]
    assert GrepWords.parse(["-e", "-r"]).files == ["-"]
    for wrong in (["-nr", "x"], ["--exclude-dir=x", "y"], ["-dskip", "y"]):
        with pytest.raises(UnsupportedOption):
            GrepWords.parse(wrong)
    with pytest.raises(WordError):
        GrepWords.parse(["-i"])
    assert split_diff_words(["-u", "-U", "3", "a", "-"]) == (["-u", "-U", "3"], ["a", "-"])
    assert split_diff_words(["--label", "x", "--", "-a"]) == (["--label", "x"], ["-a"])


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("poem.lmz plain", 0, ""),
        ("-q poem.lmz other.lmz", 1, "Files poem.lmz and other.lmz differ"),
        ("-u plain other.lmz", 1, "--- plain\n+++ other.lmz\n"),
        ("poem.lmz", 2, "poem: No such file or directory"),
        ("cut.lmz plain", 2, "cut.lmz: the archive is cut short"),
        (". plain", 2, "is a directory"),
        ("", 2, "one or two files"),
    ],
)
def test_lmzdiff(tool, words, code, text):
    found, out, error = tool("lmzdiff", *words.split())
    assert found == code and text in out + error and "tmp" not in out


def test_lmzdiff_of_one_file(tool, tmp_path):
    (tmp_path / "poem").write_bytes(POEM)
    assert tool("lmzdiff", "poem") == (0, "", "")
    assert tool("lmzdiff", "poem.lmz") == (0, "", "")


@pytest.mark.skipif(shutil.which("less") is None, reason="less is not installed")
def test_lmzless_writes_on_where_there_is_no_terminal(program):
    assert program("lmzless", "poem.lmz", "plain")[:2] == (0, POEM.decode() * 2)


def test_help_and_version(tool):
    for name in ("lmzgrep", "lmzless", "lmzdiff"):
        assert tool(name, "--help")[1].startswith(f"Usage: {name}")
        assert tool(name, "--version")[1] == f"{name} (lmzip) {lmzip.__version__}\n"


def test_a_reader_that_leaves_ends_lmzgrep(tool, tmp_path):
    (tmp_path / "long").write_bytes(POEM * 20000)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format("lmzgrep"), "line", "poem.lmz", "long"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"poem.lmz:One line of the poem\n"
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""


def test_what_is_shared_is_what_the_program_says():
    made = share.files()
    for path, text in made.items():
        assert (share.SHARE / path).read_text("utf-8") == text, "python -m tools.share"
    found = {str(p.relative_to(share.SHARE)) for p in share.SHARE.rglob("*") if p.is_file()}
    assert found == made.keys()


def test_manual_pages_are_well_formed(tmp_path):
    for name, text in manual_pages().items():
        lines = text.splitlines()
        assert lines[0].startswith(f'.TH "{name.removesuffix(".1").upper()}"')
        assert ".SH SYNOPSIS" in lines and "\b" not in text
        sizes = {".nf": 0, ".fi": 0} | {m: lines.count(m) for m in (".nf", ".fi")}
        assert sizes[".nf"] == sizes[".fi"]
        known = (".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi")
        assert all(line.startswith(known) for line in lines if line.startswith("."))
    if shutil.which("man"):
        (tmp_path / "lmzip.1").write_text(manual_pages()["lmzip.1"])
        shown = subprocess.run(
            ["man", "--warnings", "-E", "UTF-8", "-l", "-P", "cat", tmp_path / "lmzip.1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "NAME" in shown.stdout and "--rsyncable" in shown.stdout
        assert not shown.stderr


@pytest.mark.skipif(shutil.which("file") is None, reason="file is not installed")
def test_file_knows_archives(tool):
    magic = str(share.SHARE / "lmzip" / "magic")
    shown = subprocess.run(
        ["file", "-b", "-m", magic, "poem.lmz"], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert shown.stdout == "lmzip compressed data, format version 1, short\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("lmzip --out", ["plain,--output-dir", "plain,--output"]),
        ("lmzip comp", ["plain,compare", "plain,complexity", "plain,completion"]),
        ("lmzip -d po", ["file,po"]),
        ("lmzip -m tiny", ["plain,tiny", "plain,tinyllama-1.1b"]),
        ("lmzip models i", ["plain,info"]),
        ("lmzip models info lmzip-1", ["plain,lmzip-1m"]),
        ("lmzip measure --html-x", []),
        ("lmzip pla", ["file,pla"]),
    ],
)
def test_completion(tool, monkeypatch, capfd, line, wanted):
    words = line.split()
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_LMZIP_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit) as stopped:
        command([], prog_name="lmzip")
    assert stopped.value.code == 0
    assert sorted(capfd.readouterr().out.split()) == sorted(wanted)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell):
    script = completion_script(shell)
    assert f"{shell}_complete" in script and "lmzip" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True)
