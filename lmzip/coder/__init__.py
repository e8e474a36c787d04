"""Integers to bits: a range coder on exact 24-bit frequencies."""

from .interface import Encoder, SymbolCoder, new_decoder, new_encoder

__all__ = ["Encoder", "SymbolCoder", "new_decoder", "new_encoder"]
