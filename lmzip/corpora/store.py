"""Sets of texts on this machine: a folder of folders, one a set, each placed whole."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CorpusError, UsageError
from ..files import atomic_output
from .folders import Progress, local_files, problem_of
from .manifest import CorpusFile, Manifest, manifest_text, read_manifest

__all__ = ["CorpusStore", "default_home", "shipped_manifests"]

_LOG = logging.getLogger("lmzip.corpora")
_SHIPPED = Path(__file__).parent / "manifests"
"""Manifests that come with lmzip."""


def default_home() -> Path:
    """The user's cache folder for lmzip."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("lmzip", appauthor=False))


def shipped_manifests() -> list[Manifest]:
    """The manifests that come with lmzip, by name."""
    return [read_manifest(path) for path in sorted(_SHIPPED.glob("*.toml"))]


class CorpusStore:
    """The sets under one folder. In the folders `extra`, files of the shipped sets are also found.

    Two processes may use it at once: sets appear by renaming, under a lock a name.
    """

    def __init__(
        self, home: Path | None = None, *, extra: Sequence[Path] = (), offline: bool = False
    ) -> None:
        self.folder = (home or default_home()) / "corpora"
        self.extra = tuple(extra)
        self.offline = offline

    def manifest(self, target: str) -> Manifest:
        """The manifest of a name, shipped or of a set in the store, or the one in a file `*.toml`.

        Raises UsageError.
        """
        if target.endswith(".toml"):
            path = Path(target)
            if not path.is_file():
                raise UsageError(f"{target}: there is no such manifest")
            return read_manifest(path)
        if target and "/" not in target and "\\" not in target:
            for folder in (_SHIPPED, self.folder):
                if (path := folder / f"{target}.toml").is_file():
                    return read_manifest(path)
            if (path := Path(f"{target}.toml")).is_file():  # as `lmzip corpora make` leaves it
                return read_manifest(path)
        raise UsageError(f"{target!r} is not a known set ('lmzip corpora list' shows them)")

    def manifests(self) -> list[Manifest]:
        """Those that come with lmzip, and those of other sets in the store."""
        own = []
        paths: list[Path] = []
        with contextlib.suppress(OSError):
            paths = sorted(self.folder.glob("*.toml"))
        for path in paths:
            try:
                own.append(read_manifest(path))
            except (CorpusError, UsageError) as error:
                _LOG.warning("skipped: %s", error)
            except OSError as error:
                _LOG.warning("%s: skipped: %s", path, error.strerror or error)
        return [*shipped_manifests(), *own]

    def installed(self, manifest: Manifest) -> Path | None:
        """The folder of a set in the store, or where its manifest says it is; None if not there."""
        for folder in (manifest.folder, self.folder / manifest.name):
            if folder is not None and folder.is_dir():
                return folder
        return None

    def _place_of(self, manifest: Manifest, file: CorpusFile) -> Path:
        """Where a file of a set is, or would be."""
        folder = self.installed(manifest) or self.folder / manifest.name
        folders = [folder, *(self.extra if manifest.folder is None else ())]
        paths = [place / file.path for place in folders]
        return next((path for path in paths if path.is_file()), paths[0])

    def files(self, target: str) -> list[tuple[str, Path]]:
        """Name (`set/path`) and path of every file of a set, by its name or manifest.

        Every file is checked against the manifest. Raises UsageError, CorpusError.
        """
        manifest = self.manifest(target)
        if manifest.local is not None:
            found = local_files(manifest.local)
            if not found:
                raise CorpusError(f"{manifest.name}: this machine has none of its files")
            return [(f"{manifest.name}/{relative}", path) for relative, path in found]
        places = [(file, self._place_of(manifest, file)) for file in manifest.files]
        bad = [problem for file, path in places if (problem := problem_of(file, path))]
        if bad:
            raise CorpusError(
                f"{manifest.name}: {len(bad)} of {len(places)} files are missing or differ "
                f"({bad[0]}); 'lmzip corpora get {target}' fetches it"
            )
        return [(f"{manifest.name}/{file.path}", path) for file, path in places]

    def verify(
        self, manifest: Manifest, folder: Path | None = None, *, progress: Progress | None = None
    ) -> Iterator[tuple[str, str]]:
        """Path and problem of every file that is missing or differs, in `folder` if it is given."""
        done = 0
        for file in manifest.files:
            path = folder / file.path if folder is not None else self._place_of(manifest, file)
            if problem := problem_of(file, path):
                yield file.path, problem
            done += file.size_bytes
            if progress is not None:
                progress("verifying", done, manifest.size_bytes)

    def get(
        self,
        manifest: Manifest,
        *,
        origin: str | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """The folder of a set, fetched unless it is there already; `origin` replaces its sources.

        Every file is checked before anything appears. The manifest of a set that does not come with
        lmzip is kept, so that its name will do. Raises UsageError, CorpusError, OSError.
        """
        from .fetch import fetch_files, needs_network

        name, target = manifest.name, self.folder / manifest.name
        if manifest.local is not None:
            raise UsageError(f"{name} is a set of files of this machine and is not fetched")
        shipped = {known.name: known for known in shipped_manifests()}
        if name in shipped and shipped[name].files != manifest.files:
            raise UsageError(f"{name!r} is the name of another set, which is part of lmzip")
        with self._lock(name):
            if target.is_dir() and not force:
                bad = list(self.verify(manifest, target))
                if bad:
                    raise CorpusError(
                        f"{target}: {len(bad)} files are missing or differ (--force fetches again)"
                    )
                self._keep(manifest, known=name in shipped)
                return target
            if self.offline and needs_network(manifest, origin):
                raise CorpusError(f"{name} is not installed, and offline mode is on")
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".get-") as work:
                files = fetch_files(manifest, Path(work), origin=origin, progress=progress)
                if target.exists():
                    os.rename(target, Path(work, "old"))
                os.rename(files, target)
                self._keep(manifest, known=name in shipped)
        return target

    def _keep(self, manifest: Manifest, *, known: bool) -> None:
        if known:
            return
        kept = dataclasses.replace(manifest, folder=None)
        with atomic_output(self.folder / f"{manifest.name}.toml", overwrite=True) as file:
            file.write(manifest_text(kept).encode())

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        import filelock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CorpusError(f"cannot write to {self.folder}: {error.strerror}") from None
        if not os.access(self.folder, os.W_OK):
            raise CorpusError(f"cannot write to {self.folder}")
        with filelock.FileLock(self.folder / f".{name}.lock"):
            yield
