"""Integers to bits: a range coder on exact 24-bit frequencies."""

from .range_coder import RangeDecoder, RangeEncoder, SymbolCoder

__all__ = ["RangeDecoder", "RangeEncoder", "SymbolCoder"]
