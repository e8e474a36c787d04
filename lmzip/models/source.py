"""Models for the codec: opened from the store, fetched if missing, checked before use."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..codec import CodecModel
from ..engine import Engine, Pack
from ..engine.cores import available_cores
from ..engine.devices import choose_device, each_device
from ..engine.selftest import require_selftest
from ..errors import EngineError, ModelNotFoundError, VersionError
from ..extras import how_to_install
from ..format import ModelReference
from ..mix import MixingStart
from ..text import Tokenizer, Vocabulary
from .cpu import cpu_engine, reference_engine
from .registry import default_name, known_model, known_models
from .store import ModelStore

__all__ = ["StoreModels", "load_model"]

Progress = Callable[[str, int, int], None]
ENGINES = ("auto", "native", "reference", "triton")


def _torch_engine(
    pack: Pack, engine: str, device: str, threads: int, notice: Callable[[str], None]
) -> Engine:
    """The Triton engine on CUDA devices; on others, or without Triton, the reference engine.

    Several devices have an engine each, which work as lanes of the first.
    """
    if engine == "triton" or (engine == "auto" and device.partition(":")[0] == "cuda"):
        try:
            from ..engine.triton_engine import TritonEngine
        except ImportError as error:
            if engine == "triton":
                reason = how_to_install("triton", "the Triton engine")
                raise EngineError(f"{reason} ({error})") from None
        else:
            engines = [TritonEngine(pack, device=one) for one in each_device(device)]
            for found in engines:
                found.join(engines)
            return engines[0]
    plain = reference_engine(pack, device=device, threads=threads)
    if engine == "auto" and device.partition(":")[0] == "cuda":
        notice("Triton is not installed; PyTorch runs on the GPU instead, several times slower")
    return plain


def _engine(
    pack: Pack,
    engine: str,
    device: str,
    threads: int | None,
    isa: str | None,
    notice: Callable[[str], None],
) -> Engine:
    """The engine asked for; with "auto" for both, a GPU only if it passes the self-test."""
    if engine not in ENGINES:
        raise EngineError(f"there is no engine {engine!r} (use {', '.join(ENGINES)})")
    threads = threads or available_cores()
    if engine == "native" and device not in ("auto", "cpu"):
        raise EngineError(f"the native engine runs on the cpu, not on {device!r}")
    chosen = "cpu" if engine == "native" else choose_device(device)
    if chosen == "cpu" and engine != "triton":
        found = cpu_engine(pack, engine, threads=threads, isa=isa, notice=notice)
    elif device != "auto" or engine != "auto":
        found = _torch_engine(pack, engine, chosen, threads, notice)
    else:
        try:
            found = _torch_engine(pack, engine, chosen, threads, notice)
            require_selftest(found, pack)
        except Exception as error:  # of the compiler, the driver, or ours: nobody asked for a GPU
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            notice(f"the GPU is not used: {reason}")
            found = cpu_engine(pack, engine, threads=threads, isa=isa, notice=notice)
    return found


def load_model(
    pack: Pack,
    *,
    engine: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    isa: str | None = None,
    tokenizing: bool = False,
    notice: Callable[[str], None] = lambda message: None,
) -> CodecModel:
    """An open pack as a model ready to code with, its weights verified.

    `device` is "cpu", "cuda" (all GPUs), "cuda:N", or "auto": CUDA where there is any, else the
    CPU. `engine` "auto" is the native one on a CPU and Triton on CUDA; PyTorch where those are
    missing. `threads` None or 0: all cores.
    Raises CorruptError, or EngineError if the engine's self-test fails.
    """
    with ThreadPoolExecutor(1) as pool:
        # Hashing needs no interpreter: the rest of the loading goes on beside it.
        verified = pool.submit(pack.verify)
        loaded = _engine(pack, engine, device, threads, isa, notice)
        vocabulary = Vocabulary(pack.tensors["tokens.offsets"], pack.tensors["tokens.bytes"])
        tokenizer = Tokenizer(vocabulary, pack.tokenizer_json)
        if tokenizing:
            tokenizer.load()
        verified.result()
    for one in dict.fromkeys((loaded, *loaded.lanes)):
        require_selftest(one, pack)
    registered = pack.identity.hex() in {model.identity for model in known_models()}
    size = pack.path.stat().st_size if pack.path else pack.size_bytes()
    mixing = MixingStart.of(pack.tensors, pack.config.vocab)
    return CodecModel(loaded, tokenizer, pack.identity, pack.name, registered, size, mixing)


class StoreModels:
    """A ModelSource over the models installed on this machine; each is loaded once.

    Threads may share it, and what it loads: they take turns with a model's engine.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        store: ModelStore | None = None,
        engine: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        isa: str | None = None,
        progress: Progress | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name or default_name()
        self._store = store or ModelStore()
        self._progress = progress
        self._notice = notice or (lambda message: None)
        self._load_model = functools.partial(
            load_model, engine=engine, device=device, threads=threads, isa=isa, notice=self._notice
        )
        self._loaded: dict[bytes, CodecModel] = {}
        self._named: CodecModel | None = None
        self._loading = threading.RLock()

    def for_compression(self) -> CodecModel:
        """The named model, pulled if it is known and missing or too old."""
        with self._loading:
            if self._named is None:
                self._named = self._load(self._named_pack(), tokenizing=True)
            return self._named

    def squeezed_bytes(self, identity: bytes) -> int:
        """What a decoder of that installed model needs, its weights compressed."""
        found = self._store.squeezed_bytes(identity)
        assert found is not None
        return found

    def _named_pack(self) -> Pack:
        try:
            return self._store.open(self.name, verify=False)
        except VersionError:
            if self._store.offline or self.name not in {m.name for m in known_models()}:
                raise
        except ModelNotFoundError:
            known_model(self.name)  # raises if there is no such model at all
        self._pull(self.name)
        return self._store.open(self.name, verify=False)

    def for_reference(self, reference: ModelReference) -> CodecModel:
        """The model of that identity, whatever it is called here."""
        with self._loading:
            for identity, model in self._loaded.items():
                if identity.startswith(reference.identity):
                    return model
            pack = self._store.find(reference.identity)
            if pack is None:
                pack = self._pull_reference(reference)
            return self._load(pack)

    def _pull_reference(self, reference: ModelReference) -> Pack:
        wanted = reference.identity.hex()
        for model in known_models():
            if model.identity is not None and model.identity.startswith(wanted):
                self._pull(model.name)
                return self._store.open(model.name, verify=False)
        raise ModelNotFoundError(
            f"the archive needs model {reference.name or 'of unknown name'} (identity {wanted}), "
            "which is not installed"
        )

    def _pull(self, name: str) -> None:
        if not self._store.offline:
            size = known_model(name).download_bytes
            shown = "" if size is None else f"{size / 1e6:.0f} MB, "
            self._notice(f"fetching model {name} ({shown}once)")
        self._store.pull(name, progress=self._progress)

    def _load(self, pack: Pack, *, tokenizing: bool = False) -> CodecModel:
        if pack.identity not in self._loaded:
            self._loaded[pack.identity] = self._load_model(pack, tokenizing=tokenizing)
        return self._loaded[pack.identity]
