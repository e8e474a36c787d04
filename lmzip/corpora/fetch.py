"""Get the files of a set: from an archive or one by one, each checked before it counts.

Of an archive only the members that the manifest names are read, and written under the manifest's
own paths; nothing else of it touches the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urlsplit

from ..errors import CorpusError
from .folders import Progress
from .manifest import CorpusFile, Manifest, Source

__all__ = ["fetch_files", "needs_network"]

_TIMEOUT_S = 60
_CHUNK = 1 << 20
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")


def needs_network(manifest: Manifest, origin: str | None) -> bool:
    """Whether a source to fetch from is on another machine."""
    urls = [origin] if origin else [source.url for source in manifest.sources]
    return any(urlsplit(url).scheme in ("http", "https") for url in urls)


def _last_part(url: str) -> str:
    """The last part of the path of a URL or of a file's path."""
    path = unquote(urlsplit(url).path) if "://" in url else Path(url).as_posix()
    return path.rsplit("/", 1)[-1]


def _sources(manifest: Manifest, origin: str | None) -> list[Source]:
    """What to try in order; below a folder that someone names, archives go before single files."""
    if origin is None:
        return list(manifest.sources)
    if "://" not in origin:
        if not Path(origin).exists():
            raise CorpusError(f"{origin}: there is no such file or folder")
        if Path(origin).is_dir():
            origin = f"{origin.rstrip('/')}/"
    is_file = origin.endswith(_ARCHIVES) or _last_part(origin) in (f.path for f in manifest.files)
    if is_file:
        return [Source(origin)]
    base = f"{origin.rstrip('/')}/"
    names = [_last_part(source.url) for source in manifest.sources]
    archives = [base + name for name in names if name.endswith(_ARCHIVES)]
    if "://" not in base:
        archives = [path for path in archives if Path(path).is_file()]
    return [Source(url) for url in [*archives, base]]


@contextlib.contextmanager
def _explained(location: str) -> Iterator[None]:
    """Whatever goes wrong with a place to fetch from, as a CorpusError of one line."""
    try:
        yield
    except CorpusError:
        raise
    except (OSError, http.client.HTTPException, tarfile.TarError, zipfile.BadZipFile, zlib.error,
            EOFError, ValueError, RuntimeError) as error:  # fmt: skip
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        text = str(reason).strip().splitlines() or [type(error).__name__]
        raise CorpusError(f"{location}: {text[0]}") from error


def _open(location: str) -> IO[bytes]:
    if "://" not in location:
        return open(location, "rb")
    request = urllib.request.Request(location, headers={"User-Agent": "lmzip"})
    stream: IO[bytes] = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    return stream


def _copy(
    stream: IO[bytes], target: Path, limit: int | None, total: int, progress: Progress
) -> tuple[int, str]:
    """Number and hex SHA-256 of the bytes copied, which are `limit` + 1 at most."""
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as out:
        while limit is None or done <= limit:
            size = _CHUNK if limit is None else min(_CHUNK, limit + 1 - done)
            chunk = stream.read(size)
            if not chunk:
                break
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress("fetching", min(done, total), total)
    return done, digest.hexdigest()


def _place(
    stream: IO[bytes], file: CorpusFile, folder: Path, location: str, progress: Progress
) -> None:
    """Write a file of the set below `folder`; if it is not the right one, take it away again."""
    target = folder.joinpath(*file.path.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    size = file.size_bytes
    found = _copy(stream, target, size, size, progress)
    if found != (size, file.sha256):
        target.unlink()
        more = "more than " if found[0] > size else ""
        what = (
            f"{more}{min(found[0], size)} bytes instead of {size}"
            if found[0] != size
            else f"SHA-256 {found[1][:16]}... instead of {file.sha256[:16]}..."
        )
        raise CorpusError(f"{location}: {file.path} has {what}")


def _members(
    archive: Path, is_zip: bool, wanted: dict[str, CorpusFile]
) -> Iterator[tuple[str, IO[bytes]]]:
    """Path and contents of the wanted files that are in an archive."""
    if is_zip:
        with zipfile.ZipFile(archive) as opened:
            for path in [path for path in wanted if path in opened.NameToInfo]:
                with opened.open(path) as stream:
                    yield path, stream
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            path = member.name.removeprefix("./")
            if path not in wanted:
                continue
            contents = tar.extractfile(member) if member.isreg() else None
            if contents is None:
                raise CorpusError(f"{path} in {archive.name} is not a regular file")
            with contents:
                yield path, contents


def _from_archive(
    source: Source, missing: dict[str, CorpusFile], work: Path, files: Path, progress: Progress
) -> None:
    archive = work / "archive"
    with _open(source.url) as stream:
        length = getattr(stream, "length", None)
        total = source.size_bytes or length or sum(f.size_bytes for f in missing.values())
        found_bytes, found = _copy(stream, archive, source.size_bytes, total, progress)
    if source.size_bytes not in (None, found_bytes):
        raise CorpusError(f"{source.url}: its length is not {source.size_bytes} bytes")
    if source.sha256 not in (None, found):
        raise CorpusError(
            f"{source.url}: SHA-256 {found[:16]}... instead of {(source.sha256 or '')[:16]}..."
        )
    try:
        for path, contents in _members(archive, source.url.endswith(".zip"), missing):
            _place(contents, missing[path], files, source.url, progress)
            del missing[path]
    finally:
        archive.unlink()
    for path in missing:
        raise CorpusError(f"{source.url}: it does not contain {path}")


def _take(
    source: Source, missing: dict[str, CorpusFile], work: Path, files: Path, progress: Progress
) -> None:
    """Place what a source has of the missing files, and strike it off them."""
    is_folder = source.url.endswith("/")
    last = _last_part(source.url)
    if not is_folder and last not in missing and last.endswith(_ARCHIVES):
        with _explained(source.url):
            _from_archive(source, missing, work, files, progress)
        return
    for path, file in list(missing.items()):
        url = source.url
        if is_folder:
            url += quote(path) if "://" in url else path
        elif path != last:
            continue
        with _explained(url), _open(url) as stream:
            _place(stream, file, files, url, progress)
        del missing[path]


def fetch_files(
    manifest: Manifest, work: Path, *, origin: str | None = None, progress: Progress | None = None
) -> Path:
    """A folder below `work` (empty, the caller's to delete) with every file, each checked.

    They come from the manifest's sources in order, or from `origin`: a URL or path of an archive,
    of a file, or of a folder that has the archive or the files. Raises CorpusError.
    """
    files = work / "files"
    files.mkdir()
    missing = {file.path: file for file in manifest.files}
    failures = []
    for source in _sources(manifest, origin):
        if not missing:
            break
        try:
            _take(source, missing, work, files, progress or (lambda what, done, total: None))
        except CorpusError as error:
            failures.append(str(error))
    if missing:
        reason = "; ".join(failures) or "its manifest names no source (--from names one)"
        raise CorpusError(
            f"{manifest.name}: {len(missing)} of {len(manifest.files)} files are missing: {reason}"
        )
    return files
