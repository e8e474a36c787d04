"""Bits per byte, measured: every number is the size of an archive, or is called ideal."""

from .documents import Document, find_documents
from .results import Measurement, ResultStore, pool
from .run import measure

__all__ = ["Document", "Measurement", "ResultStore", "find_documents", "measure", "pool"]
