"""Any model of a model hub: `hf:OWNER/NAME[@REVISION]`, or `hf:OWNER/NAME[@REVISION]:FILE.gguf`.

What a model is, is found out before its weights are fetched: from config.json, or from the first
bytes of the GGUF file. Weights come with HTTP's ranges, so that a fetch that broke off goes on, and
are checked by the hash that the hub states. Tokens, mirrors and proxies are huggingface_hub's
affair: HF_TOKEN, HF_ENDPOINT and whatever else it knows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import CorruptError, ModelFetchError, UnsupportedModelError, UsageError
from .checkpoint import SUPPORTED, Checkpoint, architecture_from_config, read_folder
from .gguf_checkpoint import read_gguf

__all__ = ["PREFIX", "HubName", "fetch_from_hub"]

PREFIX = "hf:"
Progress = Callable[[str, int, int], None]

_HEAD = 1 << 16
"""Bytes at a GGUF file's beginning in which its architecture is looked for."""
_SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
_PART = ".part"


@dataclasses.dataclass(frozen=True)
class HubName:
    """A repository, a branch, tag or commit of it, and one of its files if it is a GGUF file."""

    repository: str
    revision: str = "main"
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName:
        """What a name with the prefix stands for. Raises UsageError."""
        match = re.fullmatch(
            r"hf:([\w.-]+/[\w.-]+)(?:@([\w.-][\w./-]*))?(?::([\w.-][\w./ -]*\.gguf))?", text
        )
        if match is None or {".", ".."} & set(re.split("[/:@]", text)):
            raise UsageError(
                f"{text!r} is not of the form hf:OWNER/NAME, hf:OWNER/NAME@REVISION or "
                "hf:OWNER/NAME:FILE.gguf"
            )
        repository, revision, file = match.groups()
        return cls(repository, revision or "main", file)

    def model_name(self) -> str:
        """What the model is called here unless somebody says otherwise."""
        base = self.repository.partition("/")[2] if self.file is None else Path(self.file).stem
        return base.lower()


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn what the hub's library raises, many unrelated types, into ModelFetchError."""
    try:
        yield
    except (ModelFetchError, UnsupportedModelError, CorruptError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of a file here
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFetchError(f"could not fetch {what}: {lines[0]}") from error


class _Repository:
    """One commit of a repository, and how to get files of it."""

    def __init__(self, name: HubName) -> None:
        """Ask the hub. Raises ModelFetchError."""
        import huggingface_hub

        self.name = name
        with _failing(name.repository):
            info = huggingface_hub.HfApi().model_info(
                name.repository, revision=name.revision, files_metadata=True
            )
        self.commit = str(info.sha or name.revision)
        self.sizes: dict[str, int | None] = {}
        self._hashes: dict[str, str] = {}
        for found in info.siblings or ():
            self.sizes[found.rfilename] = found.size
            sha256 = getattr(found.lfs, "sha256", None)
            if sha256:
                self._hashes[found.rfilename] = str(sha256)
        tags = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
        self.licence = ", ".join(tags) or "unknown"

    def _stream(self, file: str, first: int, last: int | None = None) -> Any:
        """The response with the bytes of a file from `first` to `last`, if the hub knows ranges."""
        import huggingface_hub.utils

        utils: Any = huggingface_hub.utils
        url = huggingface_hub.hf_hub_url(self.name.repository, file, revision=self.commit)
        headers = utils.build_hf_headers() | {"Accept-Encoding": "identity"}
        if first or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        session = utils.get_session()
        return session.stream("GET", url, headers=headers, follow_redirects=True)

    def head(self, file: str, size: int) -> bytes:
        """The first bytes of a file. Raises ModelFetchError."""
        data = b""
        with _failing(file), self._stream(file, 0, size - 1) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) >= size:
                    break
        return data[:size]

    def download(self, file: str, target: Path, progress: Callable[[int], None]) -> None:
        """Fetch a file, going on where an earlier fetch broke off. Raises ModelFetchError, OSError.

        `progress` hears how many bytes are there.
        """
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + _PART)
        have = part.stat().st_size if part.exists() else 0
        expected = self.sizes.get(file)
        if expected is None or have != expected:
            with _failing(file), self._stream(file, have) as response:
                response.raise_for_status()
                ranged = response.status_code == 206
                with open(part, "ab" if have and ranged else "wb") as out:
                    done = out.tell() if ranged else 0
                    for chunk in response.iter_bytes():
                        out.write(chunk)
                        done += len(chunk)
                        progress(done)
        self._check(file, part, expected)
        os.replace(part, target)

    def _check(self, file: str, part: Path, expected: int | None) -> None:
        size = part.stat().st_size
        if expected is not None and size < expected:
            raise ModelFetchError(
                f"{file} broke off at byte {size:,} of {expected:,}; the same command continues"
            )
        known = self._hashes.get(file)
        if known is None and expected in (None, size):
            return
        with open(part, "rb") as data:
            if known is not None and hashlib.file_digest(data, "sha256").hexdigest() == known:
                return
        part.unlink()
        raise ModelFetchError(f"{file} does not match the hash of the hub; the copy was removed")


def _weights(repository: _Repository) -> list[str]:
    """The files of weights. Raises UnsupportedModelError where there are none."""
    found = sorted(n for n in repository.sizes if n.endswith(".safetensors") and "/" not in n)
    if not found:
        name = repository.name.repository
        gguf = sorted(n for n in repository.sizes if n.endswith(".gguf"))
        hint = f"; hf:{name}:{gguf[0]} is one of its GGUF files" if gguf else ""
        raise UnsupportedModelError(
            f"{name} has no .safetensors file (pickled weights are never read){hint}"
        )
    return found


def _require_supported(data: bytes, file: str) -> None:
    """Raise UnsupportedModelError if these first bytes of a GGUF file name another architecture."""
    if data[:4] != b"GGUF":
        raise UnsupportedModelError(f"{file} is not a GGUF file")
    key = b"general.architecture"
    at = data.find(struct.pack("<Q", len(key)) + key)
    if at < 0:
        return  # further behind: reading the file will say
    start = at + 8 + len(key) + 4
    (length,) = struct.unpack("<Q", data[start : start + 8].ljust(8, b"\0"))
    kind = data[start + 8 : start + 8 + min(length, 64)].decode("utf-8", "replace")
    if kind not in SUPPORTED:
        raise UnsupportedModelError(f"{file}: architecture {kind!r} is not supported")


def fetch_from_hub(
    name: HubName,
    model: str,
    folder: Path,
    progress: Progress,
    notice: Callable[[str], None] = lambda message: None,
) -> Checkpoint:
    """The checkpoint of that name, fetched into `folder`; `model` is what it is called here.

    What an earlier call has left in the folder is not fetched again. Raises ModelFetchError,
    UnsupportedModelError or CorruptError.
    """
    repository = _Repository(name)
    place = folder / repository.commit
    if name.file is not None:
        if name.file not in repository.sizes:
            raise ModelFetchError(f"{name.repository} has no file {name.file}")
        _require_supported(repository.head(name.file, _HEAD), name.file)
        files = [name.file]
    else:
        files = _look_first(repository, place)
    total = sum(repository.sizes[file] or 0 for file in files)
    notice(f"fetching {total / 1e6:,.0f} MB of {name.repository}, commit {repository.commit[:12]}")
    before = 0

    def advance(done: int) -> None:
        progress("downloading", before + done, total)

    for file in files:
        repository.download(file, place / file, advance)
        before += repository.sizes[file] or 0
    progress("downloading", total, total)
    if name.file is not None:
        checkpoint = read_gguf(place / name.file, model)
    else:
        checkpoint = read_folder(place, model)
    source = f"{name.repository}@{repository.commit}"
    checkpoint.notes["source"] = source if name.file is None else f"{source}:{name.file}"
    checkpoint.notes["licence"] = repository.licence
    return checkpoint


def _look_first(repository: _Repository, place: Path) -> list[str]:
    """The files of weights, once the small files have said that they can be converted."""
    weights = _weights(repository)
    missing = [n for n in _SMALL_FILES[:2] if n not in repository.sizes]
    if missing:
        raise UnsupportedModelError(f"{repository.name.repository} has no {missing[0]}")
    for file in _SMALL_FILES:
        if file in repository.sizes:
            repository.download(file, place / file, lambda done: None)
        if file == "config.json":
            try:
                config = json.loads((place / file).read_text("utf-8"))
                architecture_from_config(config)
            except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
                raise CorruptError(f"{repository.name.repository}: config.json: {error}") from None
    return weights
