"""Documents through a method, one measurement each; what the store holds is not made again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator

from ..errors import MemoryLimitError
from .documents import Document
from .methods import Method
from .results import Measurement, ResultStore, result_key

__all__ = ["measure"]

Progress = Callable[[int, int], None]


def measure(
    documents: Iterable[Document],
    method: Method,
    *,
    decode: bool = False,
    store: ResultStore | None = None,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Measurement]:
    """A measurement for every document that is not empty, those in the store not made again.

    With `decode`, every archive is decoded and compared. Raises MemoryLimitError for a document of
    more bytes than that, CorruptError, OSError and others; what was measured before is in the
    store.
    """
    for document in documents:
        size = document.size_bytes
        if memory_limit is not None and size is not None and size > memory_limit:
            raise MemoryLimitError(
                f"the document has {size:,} bytes and is held in memory, more than the limit of "
                f"{memory_limit:,} (--memory-limit)"
            )
        data = document.read()
        if not data:
            continue
        sha256 = hashlib.sha256(data).hexdigest()
        key = result_key(sha256, method.identity, method.settings)
        known = store.find(key) if store is not None else None
        back = method.decodes and (decode or not method.believed)
        if known is not None and not (back and known.decompress_s is None):
            yield dataclasses.replace(known, document=document.name, model=method.name)
            continue
        measurement = method.measure(document.name, data, decode=decode, progress=progress)
        if store is not None:
            store.add(measurement)
        yield measurement
