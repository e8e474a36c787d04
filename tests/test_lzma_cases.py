"""The standard library's own test cases of lzma's files, run on lmzip's.

They come from the installed Python (test.test_lzma), not from here. lmzip takes the place of
LZMAFile, open, compress and decompress, and its archives that of all samples. Options of lzma that
lmzip does not have (format, filters, preset) are dropped, so that cases about something else
besides still run.
"""

from __future__ import annotations

import lzma
import types
import unittest

import pytest

import lmzip

cases = pytest.importorskip("test.test_lzma", reason="this Python comes without its test package")

OPTIONS_OF_LZMA = {
    "FileTestCase.test_init_bad_check",
    "FileTestCase.test_init_bad_filter_spec",
    "FileTestCase.test_init_bad_preset",
    "FileTestCase.test_init_with_preset_and_filters",
    "FileTestCase.test_issue21872",  # of LZMADecompressor and a file of lzma's
}
"""Cases about lzma's formats, filters, presets and checks."""

LARGE = lmzip.CodingParameters(window=16, block_bytes=1 << 24, mixing_bits=0)

NAMES = [
    f"{kind}.{name}"
    for kind in ("FileTestCase", "OpenTestCase")
    for name in unittest.defaultTestLoader.getTestCaseNames(getattr(cases, kind))
]


@pytest.fixture
def replaced(tiny_models, monkeypatch, tmp_path):
    """test.test_lzma with lmzip in lzma's place."""
    parameters = lmzip.CodingParameters(
        window=16, stream_tokens=64, block_bytes=1000, mixing_bits=0
    )
    coding = {"model": tiny_models, "parameters": parameters}

    def without_options(options):
        return {k: v for k, v in options.items() if k not in ("format", "filters", "preset")}

    class File(lmzip.LmzipFile):
        def __init__(self, path, mode="r", **options):
            super().__init__(path, mode, **coding, **without_options(options))

        # Some cases look inside.
        _fp = property(lambda self: self._file)
        _buffer = property(lambda self: self._reader)

    def compress(data, **options):
        if len(data) > 100_000:  # zeros, in one block
            return lmzip.compress(data, model=tiny_models, parameters=LARGE)
        return lmzip.compress(data, **coding)

    def open_(path, mode="rb", **options):
        return lmzip.open(path, mode, **coding, **without_options(options))

    def decompress(blob, **options):
        return lmzip.decompress(blob, model=tiny_models)

    shim = types.SimpleNamespace(**{n: getattr(lzma, n) for n in dir(lzma) if n[0] != "_"})
    shim.open, shim.compress, shim.decompress = open_, compress, decompress
    monkeypatch.setattr(cases, "lzma", shim)
    monkeypatch.setattr(cases, "LZMAFile", File)
    monkeypatch.setattr(cases, "LZMAError", lmzip.LmzipError)
    monkeypatch.setattr(cases, "TESTFN", str(tmp_path / "file"))
    sample = compress(cases.INPUT)
    for name in dir(cases):
        if name.startswith("COMPRESSED_") and name != "COMPRESSED_BOGUS":
            monkeypatch.setattr(cases, name, sample)
    return cases


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OPTIONS_OF_LZMA])
def test_a_case_of_lzma(replaced, name):
    kind, _, method = name.partition(".")
    result = unittest.TestResult()
    getattr(replaced, kind)(method).run(result)
    problems = [text for _case, text in result.errors + result.failures]
    assert not problems, problems[0]
    assert result.testsRun == 1 and not result.skipped


def test_the_cases_that_are_left_out_exist():
    assert set(NAMES) >= OPTIONS_OF_LZMA
    assert len(NAMES) >= 70
