"""Sets of texts to measure on: manifests, and the sets on this machine."""

from .folders import files_below, make_manifest
from .manifest import CorpusFile, Manifest, manifest_text, read_manifest
from .store import CorpusStore, shipped_manifests

__all__ = [
    "CorpusFile",
    "CorpusStore",
    "Manifest",
    "files_below",
    "make_manifest",
    "manifest_text",
    "read_manifest",
    "shipped_manifests",
]
