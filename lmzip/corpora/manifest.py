"""Manifests: TOML files that say what a set of texts is, where it comes from, and its hashes.

name = "canterbury"             letters, digits, '.', '_' and '-'
about = "..."                   one paragraph
licence = "..."
origin = "https://..."          the page that describes it; may be left out
folder = "..."                  where the files are, seen from the manifest; may be left out

[[sources]]                     none or more, tried in order until no file is missing
url = "https://.../x.tar.gz"    an archive (zip, tar.gz), a file, or, ending in "/", a folder
bytes = 739071                  of the archive; may be left out
sha256 = "..."                  of the archive; may be left out

[[files]]                       one or more, unless [local] is there
path = "alice29.txt"            below the set's folder, "/" between the parts
bytes = 152089
sha256 = "..."

[local]                         instead: files that a machine has or has not, so without hashes
root = "{stdlib}"               Python's standard library, or an absolute folder
include = ["*.py"]              names of files
exclude = ["site-packages"]     names of folders
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..errors import CorpusError

__all__ = [
    "STDLIB",
    "CorpusError",
    "CorpusFile",
    "LocalFiles",
    "Manifest",
    "Source",
    "check_name",
    "check_path",
    "manifest_text",
    "parse_manifest",
    "read_manifest",
]

STDLIB = "{stdlib}"
"""The root of a local set that stands for the folder of Python's standard library."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class CorpusFile:
    """A file of a set: its path below the set's folder, and what its bytes must be."""

    path: str
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Source:
    """Where files can be had; size and hash are those of an archive."""

    url: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class LocalFiles:
    """Which files of this machine make up a set: names of files, without some folders."""

    root: str
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a set of texts is. It has either files or a description of local ones."""

    name: str
    about: str
    licence: str
    origin: str = ""
    files: tuple[CorpusFile, ...] = ()
    sources: tuple[Source, ...] = ()
    local: LocalFiles | None = None
    folder: Path | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of all files that the manifest names."""
        return sum(file.size_bytes for file in self.files)


def check_name(name: str) -> str | None:
    """What is wrong with the name of a set, None if nothing is."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return None
    return f"{name!r} is not a valid name of a set (letters, digits, '.', '_' and '-')"


def check_path(path: str) -> str | None:
    """What is wrong with the path of a file below the folder of its set, None if nothing is."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return f"{path!r} is not a path below a folder"
    unfit = any(unicodedata.category(c) in ("Cc", "Cs") for c in path)
    if unfit or "\\" in path or re.match(r"[A-Za-z]:", path):
        return f"{path!r} has a character that a path in a manifest cannot have"
    return None


class _Table:
    """A table of TOML whose keys are taken one by one; what is left over is a mistake."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise CorpusError(f"{where}: this is not a table")
        self._left = dict(values)
        self.where = where

    def fail(self, problem: str) -> CorpusError:
        return CorpusError(f"{self.where}: {problem}")

    def take(self, key: str, kind: type[T]) -> T:
        if key not in self._left:
            raise self.fail(f"{key!r} is missing")
        value = self._left.pop(key)
        if type(value) is not kind:
            raise self.fail(f"{key!r} must be of type {kind.__name__}")
        return value

    def get(self, key: str, kind: type[T]) -> T | None:
        return self.take(key, kind) if key in self._left else None

    def text(self, key: str) -> str:
        value = self.take(key, str)
        if not value.strip():
            raise self.fail(f"{key!r} is empty")
        return value

    def size(self, value: int) -> int:
        if value < 0:
            raise self.fail("'bytes' is negative")
        return value

    def sha256(self, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise self.fail("'sha256' must be 64 hexadecimal digits in lower case")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values: list[Any] = self.get(key, list) or []
        if not all(isinstance(value, str) and value for value in values):
            raise self.fail(f"{key!r} must be a list of texts")
        return tuple(values)

    def tables(self, key: str) -> list[_Table]:
        values: list[Any] = self.get(key, list) or []
        return [_Table(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(values, 1)]

    def done(self) -> None:
        for key in self._left:
            raise self.fail(f"unknown key {key!r}")


def _file(table: _Table) -> CorpusFile:
    path = table.take("path", str)
    if problem := check_path(path):
        raise table.fail(problem)
    size_bytes, sha256 = table.take("bytes", int), table.take("sha256", str)
    file = CorpusFile(path, table.size(size_bytes), table.sha256(sha256))
    table.done()
    return file


def _source(table: _Table) -> Source:
    url = table.take("url", str)
    try:
        scheme = urlsplit(url).scheme
    except ValueError:  # brackets that hold no address
        scheme = ""
    if scheme not in ("http", "https", "file"):
        raise table.fail(f"{url!r} is not an http, https or file URL")
    size_bytes, sha256 = table.get("bytes", int), table.get("sha256", str)
    table.done()
    return Source(
        url,
        None if size_bytes is None else table.size(size_bytes),
        None if sha256 is None else table.sha256(sha256),
    )


def _local(table: _Table) -> LocalFiles:
    root = table.take("root", str)
    if root != STDLIB and not root.startswith("/") and not Path(root).is_absolute():
        raise table.fail(f"'root' must be {STDLIB!r} or an absolute folder")
    local = LocalFiles(root, table.texts("include"), table.texts("exclude"))
    table.done()
    if not local.include:
        raise table.fail("'include' does not name any files")
    return local


def parse_manifest(text: str, where: str, *, beside: Path | None = None) -> Manifest:
    """The manifest that a text is; `where` goes before errors, `folder` is seen from `beside`.

    Raises CorpusError.
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: this is not valid TOML ({error})") from None
    table = _Table(values, where)
    name = table.take("name", str)
    if problem := check_name(name):
        raise table.fail(problem)
    about, licence = table.text("about"), table.text("licence")
    origin, folder = table.get("origin", str) or "", table.get("folder", str)
    files = tuple(_file(entry) for entry in table.tables("files"))
    sources = tuple(_source(entry) for entry in table.tables("sources"))
    found: dict[str, Any] | None = table.get("local", dict)
    local = None if found is None else _local(_Table(found, f"{where}: local"))
    table.done()
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise table.fail(f"{file.path!r} occurs twice")
        seen.add(file.path)
    if not files and local is None:
        raise table.fail("it does not name any files")
    if local is not None and (files or sources or folder is not None):
        raise table.fail("'local' cannot be combined with files, sources or a folder")
    place = None if folder is None else (beside or Path()) / folder
    return Manifest(name, about, licence, origin, files, sources, local, place)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises CorpusError, OSError."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: this is not valid UTF-8") from None
    return parse_manifest(text, str(path), beside=path.parent)


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON's escapes are the same, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _relative(folder: Path, beside: Path) -> str:
    try:
        return Path(os.path.relpath(folder, beside)).as_posix()
    except ValueError:  # another drive
        return folder.absolute().as_posix()


def manifest_text(manifest: Manifest, *, beside: Path | None = None) -> str:
    """TOML that parses to the manifest; its folder is written as seen from `beside`."""
    m = manifest
    lines = [f"{key} = {_quoted(getattr(m, key))}" for key in ("name", "about", "licence")]
    if m.origin:
        lines.append(f"origin = {_quoted(m.origin)}")
    if m.folder is not None:
        lines.append(f"folder = {_quoted(_relative(m.folder, beside or Path()))}")
    for source in m.sources:
        lines += ["", "[[sources]]", f"url = {_quoted(source.url)}"]
        lines += [] if source.size_bytes is None else [f"bytes = {source.size_bytes}"]
        lines += [] if source.sha256 is None else [f'sha256 = "{source.sha256}"']
    for file in m.files:
        lines += ["", "[[files]]", f"path = {_quoted(file.path)}"]
        lines += [f"bytes = {file.size_bytes}", f'sha256 = "{file.sha256}"']
    if m.local is not None:
        lines += ["", "[local]", f"root = {_quoted(m.local.root)}"]
        for key in ("include", "exclude"):
            lines.append(f"{key} = [{', '.join(map(_quoted, getattr(m.local, key)))}]")
    return "\n".join(lines) + "\n"
