"""Bytes to tokens and back, total on all bytes."""

from .side import MAX_SIDE_BYTES, MAX_SIDE_TOKENS, best_splitting, side_tokens
from .tokenizer import Tokenizer
from .vocabulary import Vocabulary

__all__ = [
    "MAX_SIDE_BYTES",
    "MAX_SIDE_TOKENS",
    "Tokenizer",
    "Vocabulary",
    "best_splitting",
    "side_tokens",
]
