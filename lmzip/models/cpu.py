"""The engine that runs a pack on a processor, and a pack's answer to the self-test."""

from __future__ import annotations

from collections.abc import Callable

from ..engine import Engine, Pack
from ..engine.cores import available_cores
from ..engine.selftest import selftest_digest
from ..extension import extension, load_error
from ..extras import require_packages

__all__ = ["cpu_engine", "reference_engine", "selftest_answer"]


def cpu_engine(
    pack: Pack,
    engine: str = "auto",
    *,
    threads: int | None = None,
    isa: str | None = None,
    notice: Callable[[str], None] = lambda message: None,
) -> Engine:
    """The native engine, or the reference engine where that is asked for or is the only one.

    Raises EngineError, or MissingPackageError where the reference engine lacks PyTorch.
    """
    threads = threads or available_cores()
    if engine == "native" or (engine == "auto" and extension is not None):
        from ..engine.native import NativeEngine

        return NativeEngine(pack, threads=threads, isa=isa)
    if engine == "auto":
        notice(f"no native engine ({load_error}): PyTorch runs instead, several times slower")
    return reference_engine(pack, device="cpu", threads=threads)


def reference_engine(pack: Pack, *, device: str, threads: int) -> Engine:
    """The reference engine. Raises MissingPackageError without PyTorch."""
    require_packages("the reference engine", "torch")
    from ..engine.reference import ReferenceEngine

    return ReferenceEngine(pack, device=device, threads=threads)


def selftest_answer(pack: Pack, *, pinned: bool) -> str:
    """The pack's answer to the self-test, as this machine computes it.

    An answer that nobody has `pinned` comes from the native engine's plain C++: loading the model
    then compares that with the instruction set that will run it.
    """
    isa = None if pinned or extension is None else "scalar"
    return selftest_digest(cpu_engine(pack, isa=isa))
