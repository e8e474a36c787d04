"""Ways to turn a document into a number of bits: lmzip itself, a model alone, other compressors."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable

import numpy as np

from ..codec import (
    CodecModel,
    CodingParameters,
    OneModel,
    compress_stream,
    decompress_stream,
    model_reference,
)
from ..errors import CorruptError, PredictionError
from ..format import FORMAT_VERSION
from .classical import Compressor
from .exact import ExactScorer
from .results import Measurement, Settings
from .scoring import Scorer
from .tokens import TokenTable, archive_tokens, ideal_tokens
from .windows import Protocol

__all__ = ["Archives", "Classical", "Ideal", "Method"]

Progress = Callable[[int, int], None]


class Method:
    """A way to turn a document into a number of bits."""

    name: str
    identity: str
    settings: Settings
    scorer: Scorer | None = None
    """The model behind it, if it has one."""
    decodes = False
    """Whether there is a way back."""
    believed = True
    """Whether sizes count without the way back; a user's command may write anything."""

    def measure(
        self, document: str, data: bytes, *, decode: bool, progress: Progress | None
    ) -> Measurement:
        """The measurement of one document, not empty; with `decode` also the way back.

        `progress(content_bytes, archive_bytes)` is called with totals so far.
        """
        raise NotImplementedError

    def tokens(self, document: str, data: bytes, *, top: int = 0) -> TokenTable | None:
        """What every token of the document costs; None if there are no tokens.

        With `top`, entropies and that many alternatives.
        """
        return None


class Archives(Method):
    """lmzip itself: what is reported is what was written."""

    decodes = True

    def __init__(
        self, model: CodecModel, parameters: CodingParameters, *, memory_limit: int
    ) -> None:
        """Raises UsageError if the parameters do not suit the model."""
        self._model, self._parameters, self._memory_limit = model, parameters, memory_limit
        self.name, self.identity = model.name, model.identity.hex()
        reference = model_reference(model, parameters)
        names = ("numerics", "window", "sinks", "stream_tokens", "streams_at_once", "mixing",
                 "mixing_bits", "solid")  # fmt: skip
        self.settings = {name: int(getattr(reference, name)) for name in names}
        self.settings |= {"block_bytes": parameters.block_bytes, "format": FORMAT_VERSION}
        self.scorer = ExactScorer(model, reference.window, reference.sinks)

    def measure(
        self, document: str, data: bytes, *, decode: bool, progress: Progress | None
    ) -> Measurement:
        """See `Method`. Raises CorruptError if the archive does not decode to the document."""
        models, archive = OneModel(self._model), io.BytesIO()
        started = time.perf_counter()
        summary = compress_stream(
            io.BytesIO(data),
            archive.write,
            models,
            self._parameters,
            size_bytes=len(data),
            memory_limit=self._memory_limit,
            progress=progress,
        )
        compressed = time.perf_counter()
        decompress_s = None
        if decode:
            back = io.BytesIO()
            archive.seek(0)
            decompress_stream(archive, back.write, models, memory_limit=self._memory_limit)
            if back.getvalue() != data:
                raise CorruptError("does not decode to what was compressed")
            decompress_s = time.perf_counter() - compressed
        config = self._model.engine.config
        head_only = 0 if config.tied else config.vocab * config.width
        return Measurement(
            document=document,
            sha256=hashlib.sha256(data).hexdigest(),
            model=self.name,
            kind="archive",
            identity=self.identity,
            content_bytes=len(data),
            compress_s=compressed - started,
            archive_bytes=summary.archive_bytes,
            ideal_bits=summary.ideal_bits,
            payload_bytes=summary.payload_bytes,
            modelled_bytes=summary.modelled_bytes,
            tokens=summary.tokens,
            model_bytes=self._model.pack_bytes,
            parameters=config.parameters(),
            flops_per_token=2.0 * (config.parameters() - head_only),
            settings=self.settings,
            decompress_s=decompress_s,
        )

    def tokens(self, document: str, data: bytes, *, top: int = 0) -> TokenTable | None:
        return archive_tokens(
            self._model,
            self._parameters,
            document,
            data,
            top=top,
            memory_limit=self._memory_limit,
        )


class Ideal(Method):
    """A model's predictions under a protocol; nothing is coded."""

    def __init__(self, scorer: Scorer, protocol: Protocol, window: int) -> None:
        """`window`: inputs that the model reads at once, unless the protocol says.

        Raises UsageError if the model cannot read so many.
        """
        self.scorer: Scorer = scorer
        self._protocol = protocol
        self._window = protocol.window_for(window, scorer.context)
        self.name, self.identity = scorer.name, scorer.identity
        self.settings = scorer.settings | {"protocol": protocol.name, "window": self._window}
        self._last: TokenTable | None = None

    def measure(
        self, document: str, data: bytes, *, decode: bool, progress: Progress | None
    ) -> Measurement:
        """See `Method`; there is no way back."""
        scorer = self.scorer
        started = time.perf_counter()
        done = 0

        def advance(tokens: int, of: int) -> None:
            nonlocal done
            done += tokens
            if progress is not None:
                progress(len(data) * min(done, of) // of, 0)

        table = self._last = ideal_tokens(
            scorer, self._protocol, self._window, document, data, progress=advance
        )
        scored = ~np.isnan(table.bits)
        lengths = np.diff(table.starts, append=len(data))
        total = float(table.bits[scored].sum())
        if not np.isfinite(total):
            raise PredictionError(f"{self.name} gives a token no probability")
        return Measurement(
            document=document,
            sha256=hashlib.sha256(data).hexdigest(),
            model=self.name,
            kind="ideal",
            identity=self.identity,
            content_bytes=len(data),
            compress_s=time.perf_counter() - started,
            ideal_bits=total,
            modelled_bytes=len(data) if scored.all() else int(lengths[scored].sum()),
            tokens=len(scored),
            unscored_tokens=int((~scored).sum()),
            model_bytes=scorer.model_bytes,
            parameters=scorer.parameters,
            flops_per_token=scorer.flops_per_token,
            settings=self.settings,
        )

    def tokens(self, document: str, data: bytes, *, top: int = 0) -> TokenTable | None:
        last = self._last
        if not top and last is not None and last.document == document:
            return last
        return ideal_tokens(self.scorer, self._protocol, self._window, document, data, top=top)


class Classical(Method):
    """Another compressor."""

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor
        self.name, self.identity = compressor.name, compressor.identity
        self.settings = {}
        self.decodes = compressor.decompress is not None
        self.believed = compressor.kind != "command"

    def measure(
        self, document: str, data: bytes, *, decode: bool, progress: Progress | None
    ) -> Measurement:
        """See `Method`. Raises CorruptError if what it wrote does not decode to the document."""
        started = time.perf_counter()
        compressed = self._compressor.compress(data)
        ended = time.perf_counter()
        decompress_s = None
        if not compressed:
            raise CorruptError(f"{self.name} wrote nothing")
        if (decode or not self.believed) and self._compressor.decompress is not None:
            if self._compressor.decompress(compressed) != data:
                raise CorruptError(f"{self.name} does not decode to what it compressed")
            decompress_s = time.perf_counter() - ended
        if progress is not None:
            progress(len(data), len(compressed))
        return Measurement(
            document=document,
            sha256=hashlib.sha256(data).hexdigest(),
            model=self.name,
            kind=self._compressor.kind,
            identity=self.identity,
            content_bytes=len(data),
            compress_s=ended - started,
            archive_bytes=len(compressed),
            decompress_s=decompress_s,
        )
