"""Folders against manifests: what is in them, whether it is what it should be, a new manifest."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import sysconfig
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ..errors import UsageError
from .manifest import STDLIB, CorpusFile, LocalFiles, Manifest, check_name, check_path

__all__ = ["files_below", "local_files", "make_manifest", "problem_of", "sha256_of"]

Progress = Callable[[str, int, int], None]
"""Called with what is done, and bytes done and in all."""


def files_below(
    folder: Path,
    *,
    without: Collection[str] = (),
    unreadable: Callable[[OSError], object] | None = None,
) -> Iterator[Path]:
    """The files below a folder in order of their names, hidden ones left out.

    Folders of the names in `without` are passed over, and those that cannot be read: `unreadable`
    is told of them.
    """
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in without)
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def local_files(local: LocalFiles) -> list[tuple[str, Path]]:
    """Path below the root, and path, of every file of this machine that belongs to a local set.

    Links are left out: what they lead to would be there twice. Empty where there is no such root.
    """
    root = Path(sysconfig.get_path("stdlib") if local.root == STDLIB else local.root)
    return [
        (path.relative_to(root).as_posix(), path)
        for path in files_below(root, without=local.exclude)
        if any(fnmatch.fnmatchcase(path.name, p) for p in local.include) and not path.is_symlink()
    ]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measured(path: Path) -> tuple[int, str]:
    """How many bytes were read, whatever the system says of the size, and their hex SHA-256."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            size += len(part)
            digest.update(part)
    return size, digest.hexdigest()


def problem_of(file: CorpusFile, path: Path) -> str | None:
    """In what the file at `path` is not the one of the manifest, None if it is."""
    if not path.is_file():
        return "missing"
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        return f"{size_bytes} bytes instead of {file.size_bytes}"
    found = sha256_of(path)
    if found != file.sha256:
        return f"SHA-256 {found[:16]}... instead of {file.sha256[:16]}..."
    return None


def make_manifest(
    folder: Path,
    name: str,
    *,
    about: str = "",
    licence: str = "",
    leave_out: Path | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """A manifest of the files below a folder, hidden ones (and `leave_out`) left out.

    Raises UsageError for a name that sets cannot have, file names that manifests cannot hold, and
    if there are no files.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    if problem := check_name(name):
        raise UsageError(problem)
    excluded = leave_out.resolve() if leave_out is not None else None
    paths = [path for path in files_below(folder) if path.resolve() != excluded]
    if not paths:
        raise UsageError(f"{folder}: it contains no files")
    total, done = sum(path.stat().st_size for path in paths), 0
    files = []
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        if problem := check_path(relative):
            raise UsageError(f"{folder}: {problem}")
        files.append(CorpusFile(relative, *_measured(path)))
        done += files[-1].size_bytes
        if progress is not None:
            progress("hashing", done, total)
    return Manifest(
        name,
        about or f"Files of {name}",
        licence or "not stated",
        files=tuple(files),
        folder=folder,
    )
