"""Facts and positions in real texts."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest

from lmzip.lab.realtext import count_facts, fact_bits, facts_of, position_bits
from lmzip.lab.text import bits_by_byte, draw_text, words_of

TEXT = (
    "In June the ship of Captain James Cook left Plymouth. It carried 94 men. The men of Cook "
    "were paid 1,200 pounds. Later they saw Tahiti, and Cook wrote of Tahiti in 1769.\n"
)


def test_facts():
    found = [word for word, _, _ in facts_of(TEXT)]
    assert found == ["June", "Captain James Cook", "Plymouth", "94", "Cook", "1,200", "Tahiti",
                     "Cook", "Tahiti", "1769"]  # fmt: skip
    assert all(TEXT[a:b] == word for word, a, b in facts_of(TEXT))
    assert count_facts([TEXT, TEXT])["Cook"] == 4


def test_bits_of_facts(tiny_model):
    data = TEXT.encode()
    bits = bits_by_byte(tiny_model, data)
    assert len(bits) == len(data) and (bits >= 0).all()
    counts = collections.Counter({"Cook": 50, "Tahiti": 5})
    found = fact_bits(tiny_model, [data], counts)
    names = {(f.low, f.kind): f for f in found}
    assert names[1, "names"].facts == 1  # Tahiti, once
    assert names[10, "names"].facts == 1
    assert names[0, "numbers"].facts == 3
    (start, end) = next((a, b) for word, a, b in facts_of(TEXT) if word == "Tahiti")
    assert names[1, "names"].bits_per_byte == pytest.approx(bits[start:end].mean())


def test_positions(tiny_model):
    data = TEXT.encode()
    found = position_bits(tiny_model, [data, data])
    sentences = [p for p in found if p.place == "document"]
    assert [(p.position, p.count) for p in sentences] == [(0, 2), (1, 2), (2, 4)]
    first = next(p for p in found if p.place == "sentence" and p.position == 0)
    assert first.count == 8
    total = bits_by_byte(tiny_model, data).mean()
    assert min(p.bits_per_byte for p in sentences) <= total
    assert max(p.bits_per_byte for p in sentences) >= total


def test_texts_are_drawn(tiny_model):
    """Their bits are what their entropy says; the same seed gives the same text."""
    text = draw_text(tiny_model, 600, streams=4)
    assert text == draw_text(tiny_model, 600, streams=4)
    assert text != draw_text(tiny_model, 600, streams=4, seed=1)
    random = np.random.default_rng(0).integers(97, 123, len(text)).astype(np.uint8).tobytes()
    assert bits_by_byte(tiny_model, text).sum() < 0.9 * bits_by_byte(tiny_model, random).sum()


def test_words():
    assert words_of("It's 9 o'clock, Ünal!") == ["it", "s", "o", "clock", "ünal"]


def test_the_commands(lmzip, tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    found = lmzip("lab", "facts", "t.txt", "--training", "t.txt", "-m", "tiny")
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert {row["kind"] for row in rows} == {"names", "numbers"}
    assert all(row["low"] == 1 for row in rows)
    assert lmzip("lab", "draw", "-m", "tiny", "-n", "640", "-o", "made.txt").returncode == 0
    for options in ([], ["--shuffle"]):
        found = lmzip("lab", "heaps", "made.txt", "--words", "100", *options)
        assert json.loads(found.stdout)["words"] == 100
    found = lmzip("lab", "positions", "t.txt", "-m", "tiny", "--bytes", "60")
    assert found.returncode == 0, found.stderr
    assert np.isfinite([json.loads(line)["bits_per_byte"] for line in
                        found.stdout.splitlines()]).all()  # fmt: skip


def test_measuring_with_squeezed_models(lmzip, tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    sizes = []
    for options in ([], ["--squeezed"]):
        found = lmzip("measure", "t.txt", "-m", "tiny", "--json", "--results", "kept", *options)
        assert found.returncode == 0, found.stderr
        sizes.append(json.loads(found.stdout)["model_bytes"])
    assert sizes[1] < sizes[0]
    told = json.loads(lmzip("lab", "squeeze", "tiny", "--json").stdout)
    assert sizes[1] == told["decoder_bytes"]
    assert "squeezed" in lmzip("models", "info", "tiny").stdout.decode()
    assert "(squeezed)" in lmzip("measure", "t.txt", "-m", "tiny", "--squeezed").stdout.decode()
