"""Bytes to tokens and back, total on all bytes."""

from .tokenizer import Tokenizer
from .vocabulary import Vocabulary

__all__ = ["Tokenizer", "Vocabulary"]
