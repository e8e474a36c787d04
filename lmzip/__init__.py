"""lmzip: lossless text compression by language models, exact on every machine.

>>> import lmzip
>>> blob = lmzip.compress(b"It was the best of times")  # doctest: +SKIP
>>> lmzip.decompress(blob)  # doctest: +SKIP
b'It was the best of times'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    CorpusError,
    CorruptError,
    EngineError,
    FormatError,
    LmzipError,
    MemoryLimitError,
    MissingPackageError,
    ModelError,
    ModelFetchError,
    ModelMismatchError,
    ModelNotFoundError,
    PredictionError,
    TruncatedError,
    UnsupportedModelError,
    UsageError,
    VersionError,
)

if TYPE_CHECKING:
    from .api import compress, decompress
    from .codec import CodingParameters
    from .fileobject import LmzipFile, open, register_fsspec
    from .incremental import LmzipCompressor, LmzipDecompressor

__version__ = "0.1.0"

__all__ = [
    "CodingParameters",
    "CorpusError",
    "CorruptError",
    "EngineError",
    "FormatError",
    "LmzipCompressor",
    "LmzipDecompressor",
    "LmzipError",
    "LmzipFile",
    "MemoryLimitError",
    "MissingPackageError",
    "ModelError",
    "ModelFetchError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "PredictionError",
    "TruncatedError",
    "UnsupportedModelError",
    "UsageError",
    "VersionError",
    "compress",
    "decompress",
    "open",
    "register_fsspec",
]

_LAZY = {
    "CodingParameters": "codec",
    "LmzipCompressor": "incremental",
    "LmzipDecompressor": "incremental",
    "LmzipFile": "fileobject",
    "compress": "api",
    "decompress": "api",
    "open": "fileobject",
    "register_fsspec": "fileobject",
}


def __getattr__(name: str) -> Any:
    """Import numpy and the rest only when something is used: `import lmzip` stays instant."""
    if name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
