"""Documents through the codec, as files are: what is reported is what was written."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
from collections.abc import Callable, Iterable, Iterator

from ..codec import (
    CodecModel,
    CodingParameters,
    OneModel,
    compress_stream,
    decompress_stream,
    model_reference,
)
from ..errors import CorruptError
from ..format import FORMAT_VERSION
from .documents import Document
from .results import Measurement, ResultStore, result_key

__all__ = ["measure"]


def _settings(model: CodecModel, parameters: CodingParameters) -> dict[str, int]:
    """Everything that an archive's bytes depend on besides the model's weights."""
    reference = model_reference(model, parameters)
    names = ("numerics", "window", "sinks", "stream_tokens", "streams_at_once", "mixing",
             "mixing_bits", "solid")  # fmt: skip
    settings = {name: int(getattr(reference, name)) for name in names}
    return settings | {"block_bytes": parameters.block_bytes, "format": FORMAT_VERSION}


def measure(
    documents: Iterable[Document],
    model: CodecModel,
    parameters: CodingParameters,
    *,
    decode: bool = False,
    memory_limit: int,
    store: ResultStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Measurement]:
    """A measurement for every document that is not empty, those in the store not made again.

    With `decode`, every archive is decoded and compared. `progress(content_bytes,
    archive_bytes)` is called while a document is compressed. Raises CorruptError if an archive does
    not decode to the document, OSError and others; what was measured before is in the store.
    """
    models, settings = OneModel(model), _settings(model, parameters)
    for document in documents:
        data = document.read()
        if not data:
            continue
        sha256, identity = hashlib.sha256(data).hexdigest(), model.identity.hex()
        known = store.find(result_key(sha256, identity, settings)) if store is not None else None
        if known is not None and (known.decompress_s is not None or not decode):
            yield dataclasses.replace(known, document=document.name, model=model.name)
            continue
        archive = io.BytesIO()
        started = time.perf_counter()
        summary = compress_stream(
            io.BytesIO(data),
            archive.write,
            models,
            parameters,
            size_bytes=len(data),
            memory_limit=memory_limit,
            progress=progress,
        )
        compressed = time.perf_counter()
        decompress_s = None
        if decode:
            back = io.BytesIO()
            archive.seek(0)
            decompress_stream(archive, back.write, models, memory_limit=memory_limit)
            if back.getvalue() != data:
                raise CorruptError(f"{document.name}: does not decode to what was compressed")
            decompress_s = time.perf_counter() - compressed
        measurement = Measurement(
            document=document.name,
            sha256=sha256,
            model=model.name,
            identity=identity,
            model_bytes=model.pack_bytes,
            settings=settings,
            content_bytes=len(data),
            tokens=summary.tokens,
            ideal_bits=summary.ideal_bits,
            payload_bytes=summary.payload_bytes,
            archive_bytes=summary.archive_bytes,
            modelled_bytes=summary.modelled_bytes,
            compress_s=compressed - started,
            decompress_s=decompress_s,
        )
        if store is not None:
            store.add(measurement)
        yield measurement
