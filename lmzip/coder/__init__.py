"""Integers to bits: a range coder on exact 24-bit frequencies."""

from .interface import Encoder, Freqs, SymbolCoder, Symbols, new_decoder, new_encoder

__all__ = ["Encoder", "Freqs", "SymbolCoder", "Symbols", "new_decoder", "new_encoder"]
