"""Which files the command works on: those named, those in folders, those of a list."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from ..errors import UsageError
from ..files import read_up_to
from .inputs import STDIN

__all__ = ["Selection", "names_of_list", "select"]

_COMPRESSED = frozenset((
    ".lmz", ".gz", ".bz2", ".xz", ".lzma", ".zst", ".br", ".lz4", ".lzo", ".lz", ".z",
    ".zip", ".7z", ".rar", ".tgz", ".tbz2", ".txz", ".tzst", ".jar", ".war", ".whl", ".apk",
    ".deb", ".rpm", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jpg",
    ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic", ".jxl", ".mp3", ".m4a", ".aac",
    ".ogg", ".oga", ".opus", ".flac", ".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm",
    ".woff", ".woff2", ".npz", ".parquet", ".gguf", ".safetensors", ".lmzpack",
))  # fmt: skip


def names_of_list(path: str, *, null: bool) -> list[str]:
    """The names in a file, one a line, or ended by NUL bytes each; of standard input for `-`.

    Empty lines are passed over. Raises UsageError or OSError.
    """
    if path == STDIN:
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        data = read_up_to(sys.stdin.buffer)
    else:
        with open(path, "rb") as file:
            data = read_up_to(file)
    parts = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(part) for part in parts if part]


class Selection:
    """Names of files in order; for those found in a folder, where they belong under another one."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        recursive: bool,
        wanted: Callable[[str], bool],
        unreadable: Callable[[OSError], None],
    ) -> None:
        """`wanted`: whether a file found in a folder is to be worked on; `unreadable` hears of
        folders that cannot be listed."""
        self.names: list[str] = []
        self._below: dict[str, Path] = {}
        for name in names:
            if not recursive or name == STDIN or not os.path.isdir(name):
                self.names.append(name)
                continue
            top = Path(os.path.normpath(name))
            base = Path() if top.name in ("", "..") else Path(top.name)
            for found in _files_below(name, unreadable):
                if wanted(found):
                    self.names.append(found)
                    self._below[found] = base / os.path.relpath(found, name)

    def place(self, name: str) -> Path:
        """Where a file belongs under an output folder: its own name, behind the folders it was
        found in."""
        return self._below.get(name, Path(Path(name).name))


def _files_below(folder: str, unreadable: Callable[[OSError], None]) -> Iterator[str]:
    """Regular files in a folder and those below, sorted; links are not followed."""
    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path
            except OSError as error:
                unreadable(error)


def _without_compressed(names: Sequence[str]) -> list[str]:
    return [name for name in names if Path(name).suffix.lower() not in _COMPRESSED]


def select(
    files: Sequence[str],
    given: dict[str, object],
    *,
    compressing: bool,
    suffix: str,
    unreadable: Callable[[OSError], None],
) -> Selection:
    """The files that the options name. Raises click's UsageError, OSError.

    In folders, compressing takes what has no `suffix` yet, and everything else what has it.
    """
    names = list(files)
    listed = given["files_from"]
    if given["null"] and listed is None:
        raise click.UsageError("--null needs --files-from")
    if listed is not None:
        names += names_of_list(str(listed), null=bool(given["null"]))
    if given["exclude_compressed"] and not compressing:
        raise click.UsageError("--exclude-compressed can only be used when compressing")

    def wanted(name: str) -> bool:
        return name.endswith(suffix) != compressing

    selection = Selection(
        names, recursive=bool(given["recursive"]), wanted=wanted, unreadable=unreadable
    )
    if given["exclude_compressed"]:
        selection.names = _without_compressed(selection.names)
    return selection
