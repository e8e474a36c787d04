"""Which files the command works on and where it writes; standing options; benchmark; rsyncable."""

from __future__ import annotations

import io
import random

import click
import pytest

import lmzip as api
from lmzip.cli.benchmark import benchmark_words, parse_levels
from lmzip.cli.main import _standing_options
from lmzip.codec import ArchiveIndex
from lmzip.codec.cutting import split_blocks

TEXT = b"A few words that a model can read, and a few words more.\n" * 4


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "notes" / "old").mkdir(parents=True)
    for name in ("a.txt", "b.gz", "old/c.txt", "old/d.JPG"):
        (tmp_path / "notes" / name).write_bytes(TEXT + name.encode())
    (tmp_path / "notes" / "link").symlink_to("a.txt")
    return tmp_path


def files(folder, pattern="*"):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(pattern) if p.is_file())


def test_folders_there_and_back(lmzip, tree):
    result = lmzip("-r", "--exclude-compressed", "notes")
    assert (result.returncode, result.stderr) == (0, b"")
    assert files(tree, "*.lmz") == ["notes/a.txt.lmz", "notes/old/c.txt.lmz"]
    listed = lmzip("-l", "-r", "notes").stdout.splitlines()
    assert len(listed) == 4 and listed[-1].endswith(b"(total)")
    (tree / "out").mkdir()
    result = lmzip("-d", "-r", "notes", "--output-dir", "out")
    assert (result.returncode, result.stderr) == (0, b"")
    assert files(tree / "out") == ["notes/a.txt", "notes/old/c.txt"]
    assert (tree / "out/notes/old/c.txt").read_bytes() == TEXT + b"old/c.txt"
    assert b"is a directory (use -r for its files" in lmzip("notes").stderr


def test_outputs_of_the_same_name(lmzip, tree):
    (tree / "out").mkdir()
    result = lmzip("-f", "notes/a.txt", "notes/old/../a.txt", "--output-dir", "out")
    assert result.returncode == 1 and b"was already made from notes/a.txt" in result.stderr
    assert files(tree / "out") == ["a.txt.lmz"]
    assert lmzip("-c", "--output-dir", "out", "notes/a.txt").returncode == 2
    result = lmzip("--output-dir", "missing", "notes/a.txt")
    assert result.returncode == 2 and b"missing is not a folder" in result.stderr


def test_lists_of_files(lmzip, tree):
    (tree / "list").write_bytes(b"notes/a.txt\n\nnotes/missing\nnotes/old/c.txt\n")
    result = lmzip("--files-from", "list", "notes/b.gz", "--exclude-compressed")
    assert result.returncode == 1 and b"notes/missing: No such file" in result.stderr
    assert files(tree, "*.lmz") == ["notes/a.txt.lmz", "notes/old/c.txt.lmz"]
    result = lmzip(
        "-d", "-c", "-0", "--files-from", "-", stdin=b"notes/old/c.txt.lmz\0notes/a.txt.lmz"
    )
    assert result.stdout == TEXT + b"old/c.txt" + TEXT + b"a.txt"
    assert b"nowhere: No such file" in lmzip("--files-from", "nowhere").stderr


def test_standing_options(lmzip, tree):
    words = {"LMZIP_OPT": "--window 16", "LMZIP_LEVEL": "2", "LMZIP_MODEL": ""}
    (tree / "x.lmz").write_bytes(lmzip("-c", "notes/a.txt", **words).stdout)
    shown = lmzip("info", "x.lmz", **words).stdout.decode()
    assert "lmzip-3m" in shown and "window 16," in shown and "streams of 2048 tokens" in shown
    plain = lmzip("-c", "notes/a.txt").stdout
    assert lmzip("-c", "-m", "tiny", "notes/a.txt", LMZIP_LEVEL="2").stdout == plain
    result = lmzip("-c", "notes/a.txt", LMZIP_OPT="-1 notes/a.txt")
    assert result.returncode == 2
    assert result.stderr.startswith(b"lmzip: LMZIP_OPT: only options are allowed, no files")
    result = lmzip("-c", "notes/a.txt", LMZIP_LEVEL="ten")
    assert result.returncode == 2 and b"LMZIP_LEVEL: 'ten' is not a level" in result.stderr


@pytest.mark.parametrize("value", ["--nonsense", "'", "--", "-", "a b", "-m"])
def test_standing_options_that_are_none(monkeypatch, value):
    monkeypatch.setenv("LMZIP_OPT", value)
    with pytest.raises(click.UsageError, match=r"^LMZIP_OPT: "):
        _standing_options()
    monkeypatch.setenv("LMZIP_OPT", " -9  --prompt 'a b' -b1-2")
    assert _standing_options() == ["-9", "--prompt", "a b", "--benchmark=1-2"]


def test_benchmark(lmzip, tree):
    assert benchmark_words(["-b", "-b1-3", "--benchmark", "-v", "--", "-b"]) == [
        "--benchmark=", "--benchmark=1-3", "--benchmark=", "-v", "--", "-b"
    ]  # fmt: skip
    result = lmzip("-b1,2", "-m", "lmzip-1m", "notes/a.txt")
    assert (result.returncode, result.stderr) == (0, b"")
    title, head, first, second = result.stdout.decode().splitlines()
    assert title == f"notes/a.txt: {len(TEXT) + 5} bytes" and "kB/s" in head
    packed = lmzip("-c", "-1", "-m", "lmzip-1m", "notes/a.txt").stdout
    assert first.split()[:3] == ["-1", "lmzip-1m", str(len(packed))] and second.split()[0] == "-2"
    assert files(tree, "*.lmz") == []
    result = lmzip("-b5", "notes/a.txt", LMZIP_MODEL="", LMZIP_HOME=str(tree))
    assert result.returncode == 1 and b"'lmzip models pull smollm2-135m-instruct'" in result.stdout
    assert lmzip("-b3-1", "notes/a.txt").returncode == 2


@pytest.mark.parametrize("wrong", ["0", "3-1", "1-", ",", "1,,2", "10"])
def test_levels_that_are_none(wrong):
    assert parse_levels(None, None, "1,5-7,1") == (1, 5, 6, 7)
    with pytest.raises(click.BadParameter):
        parse_levels(None, None, wrong)


def prose(size, seed=0):
    """Lines of words."""
    words = ["the", "model", "reads", "a", "line", "and", "then", "another", "of", "words"]
    choose = random.Random(seed)
    lines = (" ".join(choose.choices(words, k=choose.randrange(3, 12))) for _ in range(size // 30))
    return "\n".join(lines).encode()[:size]


@pytest.mark.parametrize("insert", [0, 1000, 77_777, 150_000, 299_999])
def test_a_change_changes_few_blocks(insert):
    parameters = api.CodingParameters(block_bytes=1 << 13, rsyncable=True)
    data = prose(300_000)
    before = blocks_of(data, parameters)
    after = blocks_of(data[:insert] + b" inserted" + data[insert:], parameters)
    assert b"".join(before) == data
    assert len(before) > 60
    assert len(set(after) - set(before)) <= 2 and len(set(before) - set(after)) <= 2
    sizes = [len(block) for block in before[:-1]]
    assert min(sizes) > 2048 and max(sizes) <= 8192


def blocks_of(data, parameters):
    found = list(split_blocks(io.BytesIO(data), parameters))
    assert [last for _block, last in found] == [False] * (len(found) - 1) + [True]
    return [block for block, _last in found]


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 8191, 8192, 8193, 40_000])
@pytest.mark.parametrize("kind", ["prose", "zeros", "noise"])
def test_any_contents_are_cut_and_joined(size, kind):
    parameters = api.CodingParameters(block_bytes=1 << 13, rsyncable=True)
    data = {"prose": prose, "zeros": bytes, "noise": lambda n: random.Random(1).randbytes(n)}[kind](
        size
    )
    if not data:
        return
    assert b"".join(blocks_of(data, parameters)) == data


def test_rsyncable_archives(lmzip, tree, tiny_models):
    data = prose(30_000)
    (tree / "big").write_bytes(data)
    words = ["--rsyncable", "--no-mix", "--block-size", "4k", "--window", "16"]
    assert lmzip(*words, "big").returncode == 0
    packed = (tree / "big.lmz").read_bytes()
    sizes = [content for content, _size in ArchiveIndex(io.BytesIO(packed)).archives[0].blocks]
    assert len(sizes) > 8 and max(sizes) <= 4096
    parameters = api.CodingParameters(window=16, block_bytes=4096, mixing_bits=0, rsyncable=True)
    compressor = api.LmzipCompressor(model=tiny_models, parameters=parameters)
    pieces = [compressor.compress(data[i : i + 5000]) for i in range(0, len(data), 5000)]
    assert b"".join([*pieces, compressor.flush()]) == packed
    assert api.decompress(packed, model=tiny_models) == data
    assert lmzip("--rsyncable", "--solid", "-c", "big").returncode == 2
