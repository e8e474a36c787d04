"""Bits per byte, measured: every number is the size of an archive, or is called ideal."""

from .comparison import Comparison, compare, fit_power_law
from .documents import Document, find_documents
from .methods import Archives, Classical, Ideal, Method
from .results import Measurement, ResultStore, pool
from .run import measure
from .tokens import TokenTable, TokenWriter, bits_by_frequency, bits_by_position

__all__ = [
    "Archives",
    "Classical",
    "Comparison",
    "Document",
    "Ideal",
    "Measurement",
    "Method",
    "ResultStore",
    "TokenTable",
    "TokenWriter",
    "bits_by_frequency",
    "bits_by_position",
    "compare",
    "find_documents",
    "fit_power_law",
    "measure",
    "pool",
]
