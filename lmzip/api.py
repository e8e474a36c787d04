"""The Python interface for bytes; lmzip/fileobject.py and lmzip/incremental.py have the rest."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import levels
from .codec import (
    DEFAULT_MEMORY_LIMIT,
    CodingParameters,
    ModelSource,
    SideInformation,
    compress_stream,
    decompress_stream,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "compress",
    "decompress",
    "level_choices",
    "models_home",
    "side_information",
    "source_of_models",
]


def models_home() -> Path | None:
    """The folder that the environment variable LMZIP_HOME names, None if it is not set."""
    home = os.environ.get("LMZIP_HOME")
    return Path(home) if home else None


def source_of_models(
    model: str | ModelSource | None,
    *,
    home: Path | None = None,
    offline: bool = False,
    engine: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    isa: str | None = None,
) -> ModelSource:
    """The models of that name, or of the default's; one that is a source already is itself."""
    if model is not None and not isinstance(model, str):
        return model
    from .models.source import StoreModels
    from .models.store import ModelStore

    store = ModelStore(home or models_home(), offline=offline)
    isa = isa or os.environ.get("LMZIP_ISA")
    return StoreModels(model, store=store, engine=engine, device=device, threads=threads, isa=isa)


def level_choices(
    level: int | None, model: str | ModelSource | None, parameters: CodingParameters | None
) -> tuple[str | ModelSource, CodingParameters]:
    """Model and parameters, a level's where they are not given."""
    if level is None and model is not None:
        return model, parameters or CodingParameters()
    chosen = levels.level(levels.DEFAULT_LEVEL if level is None else level)
    return model or chosen.model, parameters or chosen.parameters


def compress(
    data: ReadableBuffer,
    *,
    level: int | None = None,
    model: str | ModelSource | None = None,
    parameters: CodingParameters | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    given: ReadableBuffer | None = None,
    **options: Any,
) -> bytes:
    """An archive of `data`, `given` what its decoder will be given too.

    `level` is 1 to 9 (3 if neither it nor a model is given). `model` is the name of an installed or
    known model, or a loaded one; `parameters` say how to cut and code; both go before the level's.
    Further options: `home` (folder of the models), `offline`, `engine`, `device`, `threads`, `isa`.
    Raises LmzipError.
    """
    content = bytes_of(data)
    out = io.BytesIO()
    model, parameters = level_choices(level, model, parameters)
    compress_stream(
        io.BytesIO(content),
        out.write,
        source_of_models(model, **options),
        parameters,
        size_bytes=len(content),
        memory_limit=memory_limit,
        side=side_information(given),
    )
    return out.getvalue()


def bytes_of(data: ReadableBuffer) -> bytes:
    """A copy. Raises TypeError for what holds no bytes, numbers among them."""
    return bytes(memoryview(data))


def side_information(given: ReadableBuffer | None) -> SideInformation | None:
    """What archives are made given; None for nothing."""
    return None if given is None else SideInformation.read([io.BytesIO(bytes_of(given))])


def decompress(
    blob: ReadableBuffer,
    *,
    model: ModelSource | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
    given: ReadableBuffer | None = None,
    **options: Any,
) -> bytes:
    """The contents of an archive, or of several behind one another. Raises LmzipError.

    `given` is what it was made given, if anything. An archive that would take more than
    `time_limit` seconds, as reckoned from its headers, is refused; without a limit, one whose
    thoughts would take more than a day.
    """
    out = io.BytesIO()
    decompress_stream(
        io.BytesIO(bytes_of(blob)),
        out.write,
        source_of_models(model, **options),
        memory_limit=memory_limit,
        time_limit=time_limit,
        side=side_information(given),
    )
    return out.getvalue()
