"""`lmzip compare`, and what stands behind it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from lmzip.cli.checks import refuse_overwriting
from lmzip.errors import LmzipError, UsageError
from lmzip.measure import Measurement, compare, fit_power_law
from lmzip.measure.classical import COMPRESSORS, command_compressor, installed_compressors
from lmzip.measure.comparison import pareto_front

from .test_measure import LINE, lmzip_command


def measured(model, sizes, *, parameters=0, seconds=1.0):
    return [
        Measurement(
            document=f"d{i}", sha256=str(i), model=model, kind="classical", identity=model,
            content_bytes=1000 * (i + 1), compress_s=seconds, archive_bytes=size,
            parameters=parameters,
        )
        for i, size in enumerate(sizes)
    ]  # fmt: skip


def test_pooled_ranks_and_intervals():
    a = measured("a", [100, 300, 250, 500], seconds=2)
    b = measured("b", [110, 320, 260, 520], seconds=1)
    c = measured("c", [90, 900, 100, 900], seconds=3)
    found = compare([*a, *b, *c])
    assert [m.model for m in found.methods] == ["a", "b", "c"]
    assert found.methods[0].bits_per_byte == 8 * 1150 / 10000
    first = found.differences[0]
    assert (first.first, first.second, first.documents_won) == ("a", "b", 4)
    assert first.bits_per_byte == pytest.approx(8 * -60 / 10000)
    assert first.low <= first.bits_per_byte <= first.high < 0 and first.clear
    assert not found.differences[1].clear  # wins some, loses some
    assert found.front == {0, 1}
    assert compare([*a, *b, *c]) == found


def test_only_what_all_have_measured():
    found = compare([*measured("a", [1, 2, 3]), *measured("b", [1, 2])])
    assert found.documents == ("d0", "d1")
    with pytest.raises(UsageError):
        compare([])
    with pytest.raises(UsageError):
        compare([measured("a", [1])[0], measured("b", [1, 1])[1]])


def test_pareto_front():
    assert pareto_front([(1, 9), (2, 5), (3, 6), (4, 1), (4, 1)]) == {0, 1, 3, 4}


def test_a_power_law_is_found_again():
    sizes = [10**5, 10**6, 10**7, 10**8]
    rows = []
    for n in sizes:
        loss = 0.5 + 30 / n**0.3
        rows.append(measured(str(n), [round(loss * 1000 * (i + 1) * 1e6 / 8) for i in range(4)],
                             parameters=n))  # fmt: skip
    rows = [[Measurement(**{**m.__dict__, "content_bytes": m.content_bytes * 10**6}) for m in row]
            for row in rows]  # fmt: skip
    found = compare([m for row in rows for m in row])
    law = fit_power_law(found, range(4))
    assert law.exponent == pytest.approx(0.3, rel=0.03)
    assert law.entropy == pytest.approx(0.5, abs=0.02)
    assert law.interval[0] <= law.exponent <= law.interval[1]
    assert not law.saturated
    assert law(np.array([1e7]))[0] == pytest.approx(0.5 + 30 / 10**2.1, rel=0.01)
    assert fit_power_law(found, [0, 1]) is None


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("data", [b"x", b"abcabcabc" * 200, bytes(range(256)) * 3])
def test_compressors_round_trip(name, data):
    try:
        (compressor,) = installed_compressors((name,))
    except UsageError as error:
        pytest.skip(str(error))
    assert compressor.decompress(compressor.compress(data)) == data


def test_commands_as_compressors():
    copy = f"{sys.executable} -c 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())'"
    assert command_compressor(copy).compress(b"abc") == b"abc"
    named = command_compressor(f"half={sys.executable} -c 'import shutil, sys; "
                               "shutil.copy(sys.argv[1], sys.argv[2])' {in} {out}")  # fmt: skip
    assert named.name == "half"
    assert named.compress(b"abcd") == b"abcd"
    for name in ("cat {in}", "cp /dev/stdin {out}", "cp {in} {out}", "cat"):
        assert command_compressor(name).compress(b"abcd") == b"abcd"
    for bad in ("", "x='"):
        with pytest.raises(UsageError):
            command_compressor(bad)
    with pytest.raises(LmzipError, match="no-such-program"):
        command_compressor("no-such-program-at-all").compress(b"")
    with pytest.raises(LmzipError, match="failed"):
        command_compressor(f"{sys.executable} -c 'raise SystemExit(3)'").compress(b"")
    with pytest.raises(UsageError, match="no compressor"):
        installed_compressors(("nobody",))


def test_ppmd_says_how_long_it_is():
    """Its own stream does not: the length in front is part of the size."""
    pytest.importorskip("pyppmd")
    (compressor,) = installed_compressors(("ppmd",))
    for length in (1, 127, 128, 20_000, 1 << 21):
        packed = compressor.compress(b"a" * length)
        assert packed[:1] == bytes([length & 127 | (128 if length > 127 else 0)])
        assert compressor.decompress(packed) == b"a" * length


def test_commands_that_go_back(tmp_path):
    python = sys.executable
    forth = f"{python} -c 'from sys import stdin, stdout; import zlib; "
    forth += "stdout.buffer.write(zlib.compress(stdin.buffer.read()))'"
    back = forth.replace("zlib.compress", "zlib.decompress")
    there = command_compressor(f"my-zlib={forth} ;; {back}")
    assert (there.name, there.kind) == ("my-zlib", "command")
    assert there.decompress(there.compress(b"abc" * 99)) == b"abc" * 99
    assert command_compressor(f"my-zlib={forth}").decompress is None
    assert command_compressor("cat --show-all=1").name == "cat --show-all=1"
    with pytest.raises(UsageError, match="no command"):
        command_compressor("x=cat ;; ")
    path = tmp_path / "text"
    path.write_text(LINE * 5)
    for line, kept, code in ((f"z={forth};;{back}", True, 0), (f"z={forth}", False, 0),
                             (f"z={forth};;cat", False, 1)):  # fmt: skip
        run = lmzip_command("compare", path, "-c", "gzip", "--command", line)
        assert run.returncode == code, run.stderr
        assert ("does not decode" in run.stderr) == bool(code)
        if not code:
            assert ("not decoded" in run.stdout.partition("Pooled:")[0]) != kept


WRONG = {
    "nothing": "cat > /dev/null", "a part": "head -c 10", "a constant": "cat > /dev/null; echo x",
    "a failure": "head -c 10; exit 3", "a signal": "head -c 10; kill -9 $$",
    "what it keeps beside": "cat > {out}.side; echo x > {out}",
    "a folder": "mkdir {out}", "no output": "cat > {out}.side",
}  # fmt: skip


@pytest.mark.parametrize("back", ["", ";;cat", ";;sh -c 'cat {in}.side > {out}'"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_command_does_wrong_is_no_rank(tmp_path, wrong, back):
    path = tmp_path / "text"
    path.write_text(LINE * 5)
    line = WRONG[wrong]
    if "{out}" in line:
        line = f"{line} # {{in}}"
    run = lmzip_command(
        "compare", path, "--json", "-c", "gzip", "-c", "xz", "-m", "lmzip-1m",
        "--command", f"bad=sh -c '{line}'{back}",
    )  # fmt: skip
    found = json.loads(run.stdout)
    names = [m["model"] for m in found["methods"]]
    assert "bad" not in names[: found["ranked"]] and found["ranked"] == 3, run.stderr
    assert not any("bad" in (d["first"], d["second"]) for d in found["differences"])
    assert "bad" not in [names[i] for i in found["pareto"]]


def test_a_command_is_the_program_it_runs(tmp_path):
    """Another program under the same name is another method."""
    program, script = tmp_path / "program", tmp_path / "script"
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o755)
    script.write_text("one")

    def identity():
        return command_compressor(f"x={program} {script}").identity

    first = identity()
    assert identity() == first
    script.write_text("two")
    second = identity()
    program.write_text("#!/bin/sh\ncat -\n")
    assert len({first, second, identity()}) == 3
    assert command_compressor("x=no-such-program-at-all").identity


def test_the_command(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text("".join(LINE % (i * j) for j in range(30)))
    results, page = tmp_path / "kept.jsonl", tmp_path / "page.html"
    arguments = ("compare", folder, "-m", "lmzip-1m", "-c", "gzip", "-c", "xz", "--command",
                 "copy=cat", "--results", results, "--html", page, "--plots", tmp_path / "plots",
                 "--decode")  # fmt: skip
    run = lmzip_command(*arguments)
    assert run.returncode == 0, run.stderr
    assert run.stdout.index("lmzip-1m") < run.stdout.index("gzip -9") < run.stdout.index("copy")
    text = page.read_text()
    assert "lmzip-1m" in text and "Ranking" in text and "<svg" in text
    assert {p.name for p in (tmp_path / "plots").iterdir()} >= {"ratio-against-speed.svg"}
    again = lmzip_command(*arguments, "--json")
    found = json.loads(again.stdout)
    assert [m["model"] for m in found["methods"]] == ["lmzip-1m", "gzip -9", "xz -9e", "copy"]
    assert found["methods"][3]["bits_per_byte"] == 8.0
    assert len(results.read_text().splitlines()) == 3 * 4
    nowhere = lmzip_command(
        "compare", folder, "-c", "gzip", "--html", tmp_path / "no" / "page.html"
    )
    assert (nowhere.returncode, nowhere.stdout) == (2, "") and "cannot be written" in nowhere.stderr
    missing = lmzip_command("compare", folder, "-c", "nobody")
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
    broken = lmzip_command("compare", folder, "-m", "nobody-knows", "--offline", "-c", "gzip")
    assert broken.returncode == 1 and "nobody-knows" in broken.stderr
    assert "gzip -9" in broken.stdout


def test_a_folder_that_is_missing_is_noticed_at_once(tmp_path):
    for option in ("plot", "csv", "results", "per_token", "html"):
        with pytest.raises(UsageError, match="no such folder"):
            refuse_overwriting({option: tmp_path / "no" / "file"}, [])
        refuse_overwriting({option: tmp_path / "file"}, [])
    with pytest.raises(UsageError, match="cannot be written"):
        refuse_overwriting({"plots": tmp_path / "no" / "plots"}, [])
    refuse_overwriting({"plots": tmp_path / "plots"}, [])
