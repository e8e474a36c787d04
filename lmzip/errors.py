"""The errors lmzip raises, all under one root.

    LmzipError
    ├── UsageError            an argument or a combination of arguments makes no sense
    │   └── MissingPackageError  it takes a package that is not installed
    ├── FormatError           the bytes are not a valid archive
    │   ├── TruncatedError    the archive ends too early
    │   ├── CorruptError      a checksum or a value inside the archive is wrong
    │   └── VersionError      written by a newer format or arithmetic than this program knows
    ├── MemoryLimitError      decoding would need more memory than allowed
    ├── ModelError            something about a model
    │   ├── ModelNotFoundError   not installed, and not to be fetched
    │   ├── ModelMismatchError   the installed model is not the one the archive names
    │   ├── ModelFetchError      a download failed or its hash is wrong
    │   ├── UnsupportedModelError   a checkpoint this program cannot convert or run
    │   └── PredictionError      a model's predictions are no distribution (NaN)
    ├── SideInformationError  what the archive was made given is missing or something else
    ├── CorpusError           a set of texts is missing, damaged or not to be had
    └── EngineError           an engine is unavailable or failed its self-test
        └── DeviceMemoryError    a GPU has no room for so many streams at once

This module imports nothing.
"""

__all__ = [
    "CorpusError",
    "CorruptError",
    "DeviceMemoryError",
    "EngineError",
    "FormatError",
    "LmzipError",
    "MemoryLimitError",
    "MissingPackageError",
    "ModelError",
    "ModelFetchError",
    "ModelMismatchError",
    "ModelNotFoundError",
    "PredictionError",
    "SideInformationError",
    "TruncatedError",
    "UnsupportedModelError",
    "UsageError",
    "VersionError",
]


class LmzipError(Exception):
    """The root of every error that lmzip raises on purpose."""


class UsageError(LmzipError):
    """An argument, or a combination of arguments, makes no sense."""


class MissingPackageError(UsageError):
    """What was asked for takes a package that is not installed; the message says how to."""


class FormatError(LmzipError):
    """The bytes are not a valid lmzip archive."""


class TruncatedError(FormatError, EOFError):
    """The archive ends too early; an EOFError too, as the standard library has it."""


class CorruptError(FormatError):
    """A checksum, a length or a value inside the archive is wrong."""


class VersionError(FormatError):
    """The archive needs a newer format or arithmetic than this program knows."""


class MemoryLimitError(LmzipError):
    """Decoding would take more memory than the limit allows."""


class TimeLimitError(LmzipError):
    """Decoding would take more time than the limit allows, as estimated from headers."""


class ModelError(LmzipError):
    """Something is wrong with a model."""


class ModelNotFoundError(ModelError):
    """The model is not installed and was not (or could not be) fetched."""


class ModelMismatchError(ModelError):
    """The model at hand is not the one whose identity the archive carries."""


class ModelFetchError(ModelError):
    """A model's source could not be downloaded, or its hash is not the pinned one."""


class UnsupportedModelError(ModelError):
    """The checkpoint is of a kind that cannot be converted or run exactly."""


class PredictionError(ModelError):
    """A model's predictions are no distribution: a logit is NaN, or all are infinite."""


class SideInformationError(LmzipError):
    """What an archive was made given is not at hand, or is something else."""


class CorpusError(LmzipError):
    """A manifest is wrong, or a set of texts is missing, damaged or not to be had."""


class EngineError(LmzipError):
    """An inference engine is unavailable, or gave a wrong answer to its self-test."""


class DeviceMemoryError(EngineError):
    """A device of its own memory has no room for so many streams at once."""
