"""Complexity of texts, alone, given others, and together: lengths of files that decode."""
