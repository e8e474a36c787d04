"""What is measured: files, folders, rows of tables, sets of texts. Each document stands alone."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import functools
import glob
import gzip
import io
import itertools
import json
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ..corpora import CorpusStore, files_below
from ..errors import CorpusError, MissingPackageError, UsageError
from ..extras import how_to_install

__all__ = ["Document", "Documents", "find_documents"]

_PACKED = ("", ".gz", ".bz2", ".xz", ".zst", ".lmz")
_JSON_LINES = tuple(a + b for a in (".jsonl", ".ndjson") for b in _PACKED)
"""Endings of files of rows, in any case."""
_JSON = tuple(f".json{b}" for b in _PACKED)
"""Endings of files that are an array of rows, or lines like the others."""
_PARQUET = ".parquet"
_ROWS_AT_ONCE = 256
_CHUNK = 1 << 16
_LARGEST_WINDOW = 1 << 31
"""What `zstd --long=31` needs to be read."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A name, where its bytes come from, and their number where it is known beforehand."""

    name: str
    read: Callable[[], bytes]
    size_bytes: int | None = None
    problem: str | None = None
    """Why reading it will raise UsageError, where that is known beforehand."""


@dataclasses.dataclass
class Places:
    """The files that documents come from: each counts once, however often it is named."""

    files: dict[str, None] = dataclasses.field(default_factory=dict)
    """Their real paths."""
    repeated: list[str] = dataclasses.field(default_factory=list)
    """What was named again."""
    unreadable: list[str] = dataclasses.field(default_factory=list)
    """Folders that could not be looked into, each with the reason."""
    _names: dict[str, int] = dataclasses.field(default_factory=dict)

    def is_new(self, name: str, path: str) -> bool:
        """Whether this place was not named before."""
        if path in self.files:
            self.repeated.append(name)
            return False
        self.files[path] = None
        return True

    def distinct(self, name: str) -> str:
        """The name, with a number behind it if another place has it already."""
        self._names[name] = count = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name} ({count})"

    def cannot_read(self, error: OSError) -> None:
        """Note a folder."""
        self.unreadable.append(f"{error.filename}: {error.strerror}")


Part = Callable[[], Iterator[Document]]
"""The documents of one place, found anew at every call."""


class Documents:
    """Documents that can be gone through again and again; rows are read anew each time, not kept.

    `limit` is how many at most; with `join` they are one, called `all`, in order. Going through
    them raises UsageError, CorpusError and OSError for what cannot be read. A row without text
    raises UsageError when it is read, and those behind it are none the worse.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        limit: int | None = None,
        join: bool = False,
        places: Places | None = None,
    ) -> None:
        self._parts, self._limit, self._join = parts, limit, join
        self.places = places or Places()
        """The files they come from, and what was wrong with them."""

    def _each(self) -> Iterator[Document]:
        return itertools.islice((d for part in self._parts for d in part()), self._limit)

    def _joined(self) -> Document:
        sizes: list[int | None] = [None]
        if all(isinstance(part, _Files) for part in self._parts):
            sizes = [document.size_bytes for document in self._each()]
        known = [size for size in sizes if size is not None]
        size_bytes = sum(known) if len(known) == len(sizes) else None
        return Document("all", lambda: b"".join(d.read() for d in self._each()), size_bytes)

    def __iter__(self) -> Iterator[Document]:
        return iter((self._joined(),)) if self._join else self._each()

    def __getitem__(self, index: int) -> Document:
        """The document of that number, from 0; those before it are gone through."""
        for document in itertools.islice(self, index, None):
            return document
        raise IndexError(index)


@dataclasses.dataclass(frozen=True)
class _Files:
    """Names and paths of files, each of which is a document."""

    files: Sequence[tuple[str, Path]]
    _kept: dict[Path, bytes] = dataclasses.field(default_factory=dict)
    """Contents of pipes and the like, which can be read once."""

    def __call__(self) -> Iterator[Document]:
        for name, path in self.files:
            size = None
            read: Callable[[], bytes] = path.read_bytes
            with contextlib.suppress(OSError):
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    size = found.st_size
                else:
                    read = functools.partial(self._read_once, path)
            yield Document(name, read, size)

    def _read_once(self, path: Path) -> bytes:
        if path not in self._kept:
            self._kept[path] = path.read_bytes()
        return self._kept[path]


def _row(name: str, value: object, field: str) -> Document:
    """The document that a row's value is."""
    if not isinstance(value, str):
        return _unreadable(name, f"no text in a field {field!r}")
    text = value.encode("utf-8", "surrogatepass")
    return Document(name, lambda: text, len(text))


def _unreadable(name: str, problem: str) -> Document:
    """A row that says what is wrong with it when it is read."""

    def read() -> bytes:
        raise UsageError(f"{name}: {problem}")

    return Document(name, read, problem=problem)


def _zstd_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a zstd file of any number of frames. Raises EOFError if it is cut short."""
    import zstandard

    begun, frame, rest = False, None, b""
    while chunk := file.read(_CHUNK):
        while chunk:
            if frame is None:
                context = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
                frame, begun = context.decompressobj(), True
            *lines, rest = (rest + frame.decompress(chunk)).split(b"\n")
            yield from lines
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None or not begun:
        raise EOFError("it ends too early")
    if rest:
        yield rest


Unpack = Callable[[Path], bytes]
"""The contents of an archive of lmzip."""


@contextlib.contextmanager
def _lines(path: Path, unpack: Unpack | None) -> Iterator[Iterator[bytes]]:
    """The lines of a file that may be compressed. What is wrong with it becomes a UsageError."""
    errors: tuple[type[Exception], ...] = (
        gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError,
    )  # fmt: skip
    ending = path.suffix.lower()
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if ending == ".bz2":
        errors += (OSError,)  # all that it says of damaged data
    if ending == ".zst":
        import zstandard

        errors += (zstandard.ZstdError,)
    if ending == ".lmz":
        if unpack is None:
            raise UsageError(f"{path}: archives cannot be read here")
        yield io.BytesIO(unpack(path))
        return
    try:
        if ending in openers:
            path.open("rb").close()  # what cannot be read at all is not damaged
            with openers[ending](path) as unpacked:
                yield iter(unpacked)
        else:
            with path.open("rb") as file:
                yield _zstd_lines(file) if ending == ".zst" else iter(file)
    except errors as error:
        raise UsageError(f"{path}: damaged ({error})") from None


def _json_rows(name: str, path: Path, field: str, unpack: Unpack | None) -> Iterator[Document]:
    """A document for every line of a JSON Lines file that is not blank, named `file:line`."""
    with _lines(path, unpack) as lines:
        yield from _line_rows(name, lines, field)


def _line_rows(name: str, lines: Iterable[bytes], field: str) -> Iterator[Document]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _unreadable(where, f"not JSON ({error})")
            continue
        yield _json_row(where, row, field)


def _json_row(where: str, row: object, field: str) -> Document:
    return _row(where, row.get(field) if isinstance(row, dict) else None, field)


def _array_rows(name: str, path: Path, field: str, unpack: Unpack | None) -> Iterator[Document]:
    """A document for every part of an array, named `file:number`, from 1; lines if it is none."""
    with _lines(path, unpack) as lines:
        data = b"".join(lines)
    if not data.lstrip().startswith(b"["):
        yield from _line_rows(name, io.BytesIO(data), field)
        return
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not JSON ({error})") from None
    for number, row in enumerate(rows, 1):
        yield _json_row(f"{name}:{number}", row, field)


def _parquet_rows(name: str, path: Path, field: str) -> Iterator[Document]:
    """A document for every row of a Parquet file, named `file:row`, from 1."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        reason = how_to_install("pyarrow", "reading Parquet")
        raise MissingPackageError(f"{name}: {reason}") from None
    try:
        with parquet.ParquetFile(path) as table:
            schema = table.schema_arrow
            if schema.get_field_index(field) < 0:
                raise UsageError(f"{name}: no column {field!r} among {', '.join(schema.names)}")
            kind = schema.field(field).type
            kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
            if str(kind) not in ("string", "large_string", "string_view"):
                raise UsageError(f"{name}: column {field!r} is no text but {kind}")
            number = 0
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[field]):
                for value in batch.column(0):
                    number += 1
                    yield _row(f"{name}:{number}", value.as_py(), field)
    except arrow.ArrowException as error:
        raise UsageError(f"{name}: not to be read as Parquet ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _open_hub(name: str) -> Any:
    """The stream of rows that `hf://owner/name[/config][:split]` stands for; the split is `train`
    if none is named."""
    parts = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:/([^/:]+))?(?::([^/:]+))?", name)
    if parts is None:
        raise UsageError(f"{name}: not of the form hf://owner/name[/config][:split]")
    try:
        import datasets
    except ImportError:
        reason = how_to_install("datasets", "a data set of the hub")
        raise MissingPackageError(f"{name}: {reason}") from None
    repository, config, split = parts.groups()
    try:
        return datasets.load_dataset(repository, config, split=split or "train", streaming=True)
    except Exception as error:  # the library raises many unrelated types
        raise CorpusError(f"{name}: not to be had ({_first_line(error)})") from error


def _hub_rows(name: str, rows: Any, field: str) -> Iterator[Document]:
    """A document for every row of a data set, named `hf://...:row`, from 1."""
    stream = iter(rows)
    for number in itertools.count(1):
        try:
            row = next(stream, None)
        except Exception as error:  # as above
            raise CorpusError(
                f"{name}: broke off at row {number} ({_first_line(error)})"
            ) from error
        if row is None:
            return
        if field not in row:
            raise UsageError(f"{name}: no field {field!r} among {', '.join(map(str, row))}")
        yield _row(f"{name}:{number}", row[field], field)


def _paths(name: str, places: Places) -> list[tuple[str, Path]]:
    """Name and path of the files that an argument stands for: one, those of a folder, of a glob."""
    if not name:
        raise UsageError("a file name is empty")
    if name == "-":
        raise UsageError("- is not standard input here (/dev/stdin is; ./- names a file)")
    if Path(name).exists():
        found = [Path(name)]
    elif any(character in name for character in "*?["):
        found = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    else:
        raise UsageError(f"{name}: no such file or folder")
    files: dict[Path, None] = {}
    for path in found:
        if path.is_dir():
            files |= dict.fromkeys(files_below(path, unreadable=places.cannot_read))
        else:
            files[path] = None
    if not files and not Path(name).exists():
        raise UsageError(f"{name}: no file has such a name")
    return [(str(path), path) for path in files]


def _parts(
    files: Sequence[tuple[str, Path]], field: str | None, unpack: Unpack | None
) -> Iterator[Part]:
    """Files as they are, but rows of those that have the field; the order is kept."""
    plain: list[tuple[str, Path]] = []
    for name, path in files:
        rows = None
        lower = path.name.lower()
        if (
            field is not None
            and lower.endswith((*_JSON_LINES, *_JSON, _PARQUET))
            and path.is_fifo()
        ):
            raise UsageError(f"{name}: rows of a pipe cannot be read again and again")
        if field is not None and lower.endswith(_JSON_LINES):
            rows = functools.partial(_json_rows, name, path, field, unpack)
        elif field is not None and lower.endswith(_JSON):
            rows = functools.partial(_array_rows, name, path, field, unpack)
        elif field is not None and lower.endswith(_PARQUET):
            rows = functools.partial(_parquet_rows, name, path, field)
        if rows is None:
            plain.append((name, path))
            continue
        if plain:
            yield _Files(plain)
        plain = []
        yield rows
    if plain:
        yield _Files(plain)


def find_documents(
    paths: Sequence[str],
    *,
    field: str | None = None,
    limit: int | None = None,
    join: bool = False,
    corpora: CorpusStore | None = None,
    offline: bool = False,
    unpack: Unpack | None = None,
) -> Documents:
    """The documents at these paths, in order, `limit` at most; with `join`, one of all their bytes.

    A path is a file, a folder, a glob (`**` goes into folders), `corpus:NAME` (or a manifest's
    file; looked up in `corpora`) or `hf://owner/name[/config][:split]`. Of JSON, Parquet and
    `hf://` the `field` of every row is a document; JSON may be compressed, and `unpack` gives the
    contents of *.lmz, which are kept. A file that is named twice counts once. Raises
    UsageError or CorpusError at once for what is not there, for a first row without text, and if
    there is nothing at all.
    """
    if limit is not None and limit < 1:
        raise UsageError("the limit of documents must be 1 at least")
    parts: list[Part] = []
    places = Places()
    if unpack is not None:
        unpack = functools.cache(unpack)
    for name in paths:
        if name.startswith("hf://"):
            if field is None:
                raise UsageError(f"{name}: a field of its rows must be named (--field)")
            if offline:
                raise CorpusError(f"{name}: this is offline")
            if places.is_new(name, name):
                parts.append(functools.partial(_hub_rows, name, _open_hub(name), field))
            continue
        if name.startswith("corpus:"):
            files = (corpora or CorpusStore()).files(name.removeprefix("corpus:"))
        else:
            files = _paths(name, places)
        new = [f for f in files if places.is_new(f[0], os.path.realpath(f[1]))]
        parts += _parts([(places.distinct(file), path) for file, path in new], field, unpack)
    if field is not None and parts and all(isinstance(part, _Files) for part in parts):
        raise UsageError(
            f"there are no rows to take the field {field!r} of: rows are read from *.jsonl, "
            "*.ndjson, *.json (also with .gz, .bz2, .xz, .zst or .lmz behind), *.parquet and hf://"
        )
    # The first row of every table, so that no measurement starts before a wrong field is found.
    firsts = [next(part(), None) for part in parts]
    for first in firsts:
        if first is not None and first.problem is not None:
            raise UsageError(f"{first.name}: {first.problem}")
    if not any(firsts):
        raise UsageError("; ".join(["there is nothing to measure", *places.unreadable]))
    return Documents(parts, limit=limit, join=join, places=places)
