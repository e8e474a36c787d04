"""Bytes to tokens and back, for any bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmzip.errors import CorruptError, UnsupportedModelError
from lmzip.models.vocabulary import token_table
from lmzip.text import Tokenizer, Vocabulary
from lmzip.text.tokenizer import utf8_stretches

from . import tiny


@pytest.fixture(scope="module")
def tokenizer(tiny_model) -> Tokenizer:
    return tiny_model.tokenizer


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_round_trip(tokenizer, data):
    ids = tokenizer.tokenize(data)
    assert tokenizer.vocabulary.detokenize(ids) == data


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_round_trips_without_specials(tokenizer, tiny_pack, text):
    ids = tokenizer.tokenize(text.encode())
    assert tokenizer.vocabulary.detokenize(ids) == text.encode()
    assert not set(ids.tolist()) & set(tiny_pack.config.suppressed)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=8).map(str.encode)), max_size=30))
def test_stretches_cover_the_data(parts):
    data = b"".join(parts)
    position = 0
    for valid, start, end in utf8_stretches(data):
        assert start == position < end
        position = end
        if valid:
            data[start:end].decode()
        else:
            with pytest.raises(UnicodeDecodeError):
                data[start:end].decode()
    assert position == len(data)


def test_stretches_across_the_internal_window():
    data = ("é" * 70_000).encode() + b"\xff" + "x中".encode() * 40_000 + b"\xe4\xb8"
    kinds = [valid for valid, _, _ in utf8_stretches(data)]
    assert kinds == [True, False, True, False]


def test_special_tokens_in_text_are_text(tokenizer, tiny_pack):
    ids = tokenizer.tokenize(b"a<|endoftext|>b<extra_0>")
    assert not set(ids.tolist()) & {0, 1}


def test_words_become_tokens(tokenizer):
    assert len(tokenizer.tokenize(b"the the the the")) == 5


def test_what_the_tokenizer_gets_wrong_takes_the_byte_path(tiny_pack):
    """A tokenizer that normalises must not lose anything."""
    import json

    broken = json.loads(tiny_pack.tokenizer_json)
    broken["normalizer"] = {"type": "Lowercase"}
    vocabulary = Vocabulary(tiny_pack.tensors["tokens.offsets"], tiny_pack.tensors["tokens.bytes"])
    tokenizer = Tokenizer(vocabulary, json.dumps(broken))
    data = b"the cat sat. " * 50 + b"THE CAT" + b" and the dog" * 50
    ids = tokenizer.tokenize(data)
    assert vocabulary.detokenize(ids) == data
    assert len(ids) < len(data)


def test_missing_bytes_get_reserved_or_appended_tokens():
    missing = (0x04, 0xC0, 0xF5, 0xFF)
    plain = tiny.tokenizer_json(missing)
    vocab = 280
    table = token_table(plain, vocab, bos=0)
    assert table.token_bytes[1] == b"\xff"
    assert table.token_bytes[2] == b"\xf5"
    assert table.token_bytes[vocab:] == [b"\xc0", b"\x04"]
    assert len(table.copied_rows) == 2
    assert 0 in table.suppressed
    assert 1 not in table.suppressed


def test_unsupported_tokenizers_are_refused():
    import json

    node = json.loads(tiny.tokenizer_json())
    node["model"]["type"] = "Unigram"
    with pytest.raises(UnsupportedModelError, match="Unigram"):
        token_table(json.dumps(node), 300, 0)
    node["model"]["type"] = "BPE"
    node["pre_tokenizer"] = None
    with pytest.raises(UnsupportedModelError, match="byte"):
        token_table(json.dumps(node), 300, 0)


def test_byte_fallback_tokenizers():
    """SentencePiece's way: U+2581 for a blank, <0x..> for bytes."""
    import json

    vocab = {"<s>": 0} | {f"<0x{b:02X}>": b + 1 for b in range(256)}
    for piece in ("\u2581", "t", "h", "e", "th", "the", "\u2581the"):
        vocab.setdefault(piece, len(vocab))
    node = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}],
        "normalizer": {"type": "Prepend", "prepend": "\u2581"}, "pre_tokenizer": None,
        "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "byte_fallback": True, "vocab": vocab, "unk_token": None,
                  "merges": [["t", "h"], ["th", "e"], ["\u2581", "the"]]},
    }  # fmt: skip
    table = token_table(json.dumps(node), len(vocab), 0)
    lengths = np.cumsum([0, *map(len, table.token_bytes)]).astype(np.uint32)
    data = np.frombuffer(b"".join(table.token_bytes), np.uint8)
    tokenizer = Tokenizer(Vocabulary(lengths, data), table.tokenizer_json)
    for text in (b"the the", b" the", b"xyz the\n", "é▁x".encode(), bytes(range(256))):
        ids = tokenizer.tokenize(text)
        assert tokenizer.vocabulary.detokenize(ids) == text
    assert len(tokenizer.tokenize(b"the the the")) == 3


def test_bad_tables_and_tokens_are_refused(tokenizer):
    with pytest.raises(CorruptError):
        Vocabulary(np.array([0, 2, 1], np.uint32), np.zeros(1, np.uint8))
    with pytest.raises(CorruptError, match="256"):
        Vocabulary(np.array([0, 1], np.uint32), np.zeros(1, np.uint8))
    for bad in (-1, len(tokenizer.vocabulary), 0):
        with pytest.raises(CorruptError):
            tokenizer.vocabulary.detokenize(np.array([bad]))
