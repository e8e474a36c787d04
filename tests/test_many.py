"""Small files coded in lockstep: the archives of each alone."""

from __future__ import annotations

import os
import random

import pytest

import lmzip
from lmzip.cli.ahead import Ahead
from lmzip.codec import (
    MANY_BYTES,
    CodingParameters,
    SideInformation,
    compress_many,
    decompress_many,
    gains_by_company,
)
from lmzip.codec.many import _groups
from lmzip.errors import CorruptError, LmzipError, SideInformationError

SMALL = CodingParameters(window=12, stream_tokens=20, sinks=2, block_bytes=300)
CONTENTS = [
    b"",
    b"a",
    b"It was a dark and stormy night; the rain fell in torrents. " * 3,
    bytes(range(256)),
    b"The end of the one is the start of the other.",
    b"The end of the one is the start of the other.",
    "naïve café, 中文 👍\n".encode() * 4,
    b"More than a block. " * 40,
    b"\xff\xfe\xfd" * 30,
]


def alone(models, parameters, **options):
    return [
        lmzip.compress(data, model=models, parameters=parameters, **options) for data in CONTENTS
    ]


@pytest.mark.parametrize("mixing_bits", [0, 12])
def test_archives_are_those_of_each_alone(tiny_models, mixing_bits):
    parameters = CodingParameters(
        window=12, stream_tokens=20, streams_at_once=2, sinks=2, block_bytes=300,
        mixing_bits=mixing_bits,
    )  # fmt: skip
    expected = alone(tiny_models, parameters)
    coded = []
    made = compress_many(CONTENTS, tiny_models, parameters, progress=coded.append)
    assert [archive for archive, _ in made] == expected
    assert [summary.archive_bytes for _, summary in made] == [len(a) for a in expected]
    assert [summary.content_bytes for _, summary in made] == [len(data) for data in CONTENTS]
    assert coded == sorted(coded)
    assert decompress_many(expected, tiny_models) == CONTENTS


def test_given(tiny_models):
    y = b"The start of the one is the end of the other, in a dark and stormy night."
    expected = alone(tiny_models, SMALL, given=y)
    side = SideInformation.of(y)
    made = compress_many(CONTENTS, tiny_models, SMALL, side=side)
    assert [archive for archive, _ in made] == expected
    assert decompress_many(expected, tiny_models, side=side) == CONTENTS
    needing = [lmzip.decompress(a, model=tiny_models) if i in (0, 3) else None
               for i, a in enumerate(expected)]  # fmt: skip
    results = decompress_many(expected, tiny_models)
    assert [isinstance(r, SideInformationError) for r in results].count(True) >= 3
    assert (results[0], results[3]) == (needing[0], needing[3])


def test_solid_files_are_coded_one_by_one(tiny_models):
    parameters = CodingParameters(
        window=12, stream_tokens=20, streams_at_once=2, sinks=2, block_bytes=300, mixing_bits=12,
        solid=True,
    )  # fmt: skip
    expected = alone(tiny_models, parameters)
    assert [a for a, _ in compress_many(CONTENTS, tiny_models, parameters)] == expected
    assert decompress_many(expected, tiny_models) == CONTENTS


def test_what_no_model_helps_loads_none(tiny_models):
    class NoModels:
        def for_compression(self):
            raise AssertionError("nobody needs a model here")

    contents = [random.Random(seed).randbytes(9000) for seed in range(3)]
    made = compress_many(contents, NoModels(), CodingParameters(window=12))
    archives = [archive for archive, _ in made]
    assert archives == [lmzip.compress(data, model=tiny_models) for data in contents]
    assert decompress_many(archives, tiny_models) == contents


def test_what_is_wrong_with_one_hurts_no_other(tiny_models):
    good = alone(tiny_models, SMALL)
    other = lmzip.compress(
        CONTENTS[2], model=tiny_models, parameters=CodingParameters(window=9, stream_tokens=30)
    )
    spoiled = bytearray(good[2])
    spoiled[len(spoiled) // 2] ^= 16
    archives = [
        good[2], bytes(spoiled), other, good[4] + good[6], good[5][:-3], b"text", good[7], good[5],
    ]  # fmt: skip
    results = decompress_many(archives, tiny_models)
    assert isinstance(results[1], CorruptError)
    assert all(isinstance(results[i], LmzipError) for i in (4, 5))
    results[1] = results[4] = results[5] = b""
    assert results == [
        CONTENTS[2], b"", CONTENTS[2], CONTENTS[4] + CONTENTS[6], b"", b"", CONTENTS[7],
        CONTENTS[5],
    ]  # fmt: skip


def test_what_may_swell_is_decoded_alone(tiny_models, tmp_path):
    """A few bytes can say that they hold megabytes: those are not kept in memory together."""
    small = lmzip.compress(CONTENTS[4], model=tiny_models, parameters=SMALL)
    large = CodingParameters(window=12, stream_tokens=20, sinks=2)
    swelling = [
        lmzip.compress(bytes(1 << 20), model=tiny_models, parameters=large),
        lmzip.compress(b"a" * (MANY_BYTES + 1), model=tiny_models, parameters=large),
        small + small,
        b"text",
        b"",
    ]
    assert all(len(archive) < 4096 for archive in swelling)
    assert gains_by_company(small)
    assert not any(map(gains_by_company, swelling))
    names = [str(tmp_path / name) for name in "xyz"]
    for name, data in zip(names, (small, swelling[0], small), strict=True):
        with open(name, "wb") as file:
            file.write(data)
    ahead = Ahead(names, largest=MANY_BYTES, wanted=lambda name: True, code=list,
                  suits=gains_by_company)  # fmt: skip
    assert [ahead.take(number) for number in range(3)] == [(small, small), None, (small, small)]


def test_groups_keep_within_bounds():
    loads = {1: (2, 10), 3: (2, 10), 4: (9, 1), 7: (1, 25), 8: (1, 1), 9: (3, 19)}
    assert list(_groups(loads, (5, 20))) == [[1, 3], [4], [7], [8, 9]]
    assert list(_groups({}, (5, 20))) == []


def test_files_are_looked_at_once_and_in_turn(tmp_path):
    names = [str(tmp_path / name) for name in "abcdef"]
    for name in names[:5]:
        with open(name, "w", encoding="ascii") as file:
            file.write(name[-1] * 3)
    os.truncate(names[1], 0)
    (tmp_path / "d").write_bytes(bytes(11))
    asked = []

    def code(contents):
        asked.append(contents)
        return [data.upper() for data in contents]

    ahead = Ahead(names, largest=10, wanted=lambda name: not name.endswith("c"), code=code)
    found = [ahead.take(number) for number in range(6)]
    assert found == [(b"aaa", b"AAA"), None, None, None, (b"eee", b"EEE"), None]
    assert asked == [[b"aaa", b"eee"]]

    def failing(contents):
        raise LmzipError("no model")

    ahead = Ahead(names, largest=10, wanted=lambda name: True, code=failing)
    assert [ahead.take(number) for number in range(6)] == [None] * 6
    single = Ahead(names[:1], largest=10, wanted=lambda name: True, code=code)
    assert single.take(0) is None


def test_commands(lmzip, tmp_path):
    names = [f"{number}.txt" for number in range(6)]
    texts = [
        f"File {number} has this to say: {'hello, ' * number}\n".encode() for number in range(6)
    ]
    for name, text in zip(names, texts, strict=True):
        (tmp_path / name).write_bytes(text)
    (tmp_path / "large").write_bytes(b"a large one\n" * (MANY_BYTES // 12 + 1))
    (tmp_path / "3.txt.lmz").write_bytes(b"in the way")
    result = lmzip(*names, "large", "nowhere", "0.txt")
    assert result.returncode == 1
    lines = result.stderr.decode().splitlines()
    assert [line.split(":")[1] for line in lines] == [" 3.txt", " nowhere", " 0.txt"]
    for name in ("0.txt", "5.txt"):
        alone = lmzip("-c", name).stdout
        assert (tmp_path / f"{name}.lmz").read_bytes() == alone
    (tmp_path / "3.txt.lmz").unlink()
    assert lmzip("-v", "3.txt", "-f", "4.txt").stderr.count(b"bits per byte") == 2
    archives = [f"{name}.lmz" for name in names]
    assert lmzip("-t", *archives, "large.lmz").returncode == 0
    spoiled = bytearray((tmp_path / archives[2]).read_bytes())
    spoiled[-9] ^= 1
    (tmp_path / archives[2]).write_bytes(spoiled)
    result = lmzip("-dc", *archives)
    assert result.returncode == 1
    assert result.stdout == b"".join(texts[:2] + texts[3:])
    assert result.stderr.startswith(b"lmzip: 2.txt.lmz: ")
    assert result.stderr.count(b"\n") == 1


def test_a_file_that_changes_meanwhile_is_read_again(tiny_home, tmp_path, monkeypatch, capfd):
    from lmzip.cli import files

    for name in "xy":
        (tmp_path / name).write_bytes(b"Once upon a time.")
    monkeypatch.chdir(tmp_path)
    made = Ahead.take

    def take(self, number):
        found = made(self, number)
        (tmp_path / "y").write_bytes(b"Twice upon a time, and more.")
        return found

    monkeypatch.setattr(Ahead, "take", take)
    from click.testing import CliRunner

    from lmzip.cli.main import lmzip as command

    assert CliRunner().invoke(command, ["code", "x", "y"]).exit_code == 0
    assert files.SUFFIX == ".lmz"
    assert lmzip.decompress((tmp_path / "x.lmz").read_bytes()) == b"Once upon a time."
    assert lmzip.decompress((tmp_path / "y.lmz").read_bytes()) == b"Twice upon a time, and more."
