"""The tokenizer: byte-level BPE, total on all bytes, one special token (id 0) as start token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

START = "<|endoftext|>"

PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)(?!\p{L})",  # English contractions
        r"[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+",  # a word and the character before it
        r" ?\p{N}{1,2}",
        r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",  # punctuation, line ends behind it included
        r"[^\S\r\n]*(?:\r?\n)+",  # blank ends of lines, and runs of line ends
        r"[^\S\r\n]+(?=[^\S\r\n]\S)",  # indentation, less the blank that belongs to the word
        r"\s+",
    )
)
"""Much like GPT-4's pattern, with at most two digits and CRLF kept whole."""


def train(texts: Iterable[str], vocab: int) -> Tokenizer:
    """A tokenizer of `vocab` tokens: START, the 256 bytes, then merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[AddedToken(START, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=24,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer as lmzip uses it: START in a text is no special token."""
    from lmzip.models.vocabulary import token_table

    text = path.read_text("utf-8")
    vocab = Tokenizer.from_str(text).get_vocab_size()
    return Tokenizer.from_str(token_table(text, vocab, 0).tokenizer_json)
