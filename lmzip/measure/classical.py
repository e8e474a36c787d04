"""Compressors without a model: those of well-known libraries, and any command line."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import functools
import gzip
import hashlib
import importlib.metadata
import lzma
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import LmzipError, MissingPackageError, UsageError
from ..extras import how_to_install

__all__ = [
    "COMPRESSORS",
    "Compressor",
    "command_compressor",
    "installed_compressors",
    "zstd_with_dictionary",
]


@dataclasses.dataclass(frozen=True)
class Compressor:
    """A name, and bytes to bytes."""

    name: str
    identity: str
    """With the version of what it runs."""
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes] | None
    """None if there is no way back."""
    kind: str = "classical"
    """Or `command`: what it writes is not known to be decodable."""


def _zstd_compress(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=19).compress(data)


def zstd_with_dictionary(samples: Sequence[bytes], size: int = 112_640) -> Callable[[bytes], bytes]:
    """Compression by zstd -19 with a dictionary of `size` bytes trained on the samples.

    Raises UsageError if they are too few for one.
    """
    import zstandard

    try:
        dictionary = zstandard.train_dictionary(size, list(samples), level=19)
    except zstandard.ZstdError as error:
        raise UsageError(f"zstd trains no dictionary on these texts: {error}") from None
    return zstandard.ZstdCompressor(level=19, dict_data=dictionary).compress


def _zstd_decompress(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)


def _brotli_compress(data: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(data, quality=11, lgwin=24))


def _brotli_decompress(data: bytes) -> bytes:
    import brotli

    return bytes(brotli.decompress(data))


_PPMD_MEMORY = 256 << 20


def _ppmd_compress(order: int) -> Callable[[bytes], bytes]:
    """PPMd's own stream does not say where it ends: the length stands before it (LEB128)."""

    def compress(data: bytes) -> bytes:
        import pyppmd

        encoder = pyppmd.Ppmd7Encoder(order, _PPMD_MEMORY)
        length, header = len(data), bytearray()
        while length >= 0x80:
            header.append(length & 0x7F | 0x80)
            length >>= 7
        header.append(length)
        return bytes(header) + bytes(encoder.encode(data) + encoder.flush())

    return compress


def _ppmd_decompress(order: int) -> Callable[[bytes], bytes]:
    def decompress(data: bytes) -> bytes:
        import pyppmd

        size = next(i for i, byte in enumerate(data, 1) if byte < 0x80)
        length = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(data[:size]))
        decoder = pyppmd.Ppmd7Decoder(order, _PPMD_MEMORY)
        decoded = bytes(decoder.decode(data[size:], length))
        while len(decoded) < length:  # the coder may want a byte behind the end
            more = bytes(decoder.decode(b"\0", length - len(decoded)))
            if not more:
                break
            decoded += more
        return decoded

    return decompress


_PYTHON = f"python {platform.python_version()}"

COMPRESSORS: dict[str, tuple[str, str, Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": ("gzip -9", "", lambda data: gzip.compress(data, 9, mtime=0),
             lambda data: gzip.decompress(data)),
    "bzip2": ("bzip2 -9", "", lambda data: bz2.compress(data, 9),
              lambda data: bz2.decompress(data)),
    "xz": ("xz -9e", "", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
           lambda data: lzma.decompress(data)),
    "zstd": ("zstd -19", "zstandard", _zstd_compress, _zstd_decompress),
    "brotli": ("brotli -q 11", "brotli", _brotli_compress, _brotli_decompress),
    "ppmd": ("PPMd o8", "pyppmd", _ppmd_compress(8), _ppmd_decompress(8)),
    "ppmd16": ("PPMd o16", "pyppmd", _ppmd_compress(16), _ppmd_decompress(16)),
}  # fmt: skip
"""What users call them: the name with the level, the package ("": Python's own), both ways."""


def installed_compressors(names: tuple[str, ...] = ()) -> list[Compressor]:
    """Those of that name, or all that can be had here.

    Raises UsageError for a name that is unknown or whose package is not installed.
    """
    found = []
    for name in names or tuple(COMPRESSORS):
        if name not in COMPRESSORS:
            raise UsageError(f"no compressor {name!r} (there are: {', '.join(COMPRESSORS)})")
        title, package, compress, decompress = COMPRESSORS[name]
        version = _PYTHON
        if package:
            try:
                version = f"{package} {importlib.metadata.version(package)}"
            except importlib.metadata.PackageNotFoundError:
                if names:
                    raise MissingPackageError(how_to_install(package, name)) from None
                continue
        if package == "pyppmd":
            version += ", length in front"
        found.append(Compressor(title, f"{title}, {version}", compress, decompress))
    return found


_NAME = re.compile(r"\s*([\w.+][\w.+-]*)\s*=(.*)", re.DOTALL)


def command_compressor(line: str) -> Compressor:
    """A command line, `NAME=COMMAND` or just the command, as a compressor.

    It is given the names of files where it says {in} and {out}; without {in} the contents are its
    standard input, without {out} its standard output is the size. Behind `;;` stands the command
    that turns this back into the contents; without it nothing is decoded. Raises UsageError.
    """
    match = _NAME.fullmatch(line)
    name, command = match.groups() if match else ("", line)
    forth, separator, back = command.partition(";;")
    name = name if match else forth.strip()
    words = [_words(line, part) for part in ((forth, back) if separator else (forth,))]
    identity = f"command {command.strip()}, {_files_digest(words)}"
    ways = [functools.partial(_run, part) for part in words]
    return Compressor(name, identity, ways[0], ways[1] if separator else None, "command")


def _words(line: str, command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{line!r}: {error}") from None
    if not words:
        raise UsageError(f"{line!r} is no command")
    return words


def _files_digest(commands: Sequence[Sequence[str]]) -> str:
    """Of the programs, and of the files (scripts, models) that the commands name."""
    digest = hashlib.sha256()
    for words in commands:
        for i, word in enumerate(words):
            path = Path((shutil.which(word) if i == 0 else None) or word)
            with contextlib.suppress(OSError, ValueError):
                if path.is_file():
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _run(words: Sequence[str], data: bytes) -> bytes:
    """What a command makes of these bytes. Raises LmzipError if it fails."""
    with tempfile.TemporaryDirectory(prefix="lmzip-") as folder:
        source, target = Path(folder, "contents"), Path(folder, "compressed")
        filled = [w.replace("{in}", str(source)).replace("{out}", str(target)) for w in words]
        named_in, named_out = (any(n in w for w in words) for n in ("{in}", "{out}"))
        if named_in:
            source.write_bytes(data)
        try:
            run = subprocess.run(
                filled, input=b"" if named_in else data, capture_output=True, check=False
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LmzipError(f"{words[0]}: {reason}") from None
        if run.returncode:
            shown = run.stderr.decode(errors="replace")
            shown = shown.replace(str(source), "{in}").replace(str(target), "{out}")
            said = shown.strip().splitlines()
            raise LmzipError(": ".join([f"{words[0]} failed ({run.returncode})", *said[-1:]]))
        if not named_out:
            return run.stdout
        if not target.is_file():
            raise LmzipError(f"{words[0]} wrote no {{out}}")
        return target.read_bytes()
