"""Compressors without a model: those of well-known libraries, and any command line."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import importlib.metadata
import lzma
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import LmzipError, UsageError

__all__ = ["COMPRESSORS", "Compressor", "command_compressor", "installed_compressors"]


@dataclasses.dataclass(frozen=True)
class Compressor:
    """A name, and bytes to bytes."""

    name: str
    identity: str
    """With the version of what it runs."""
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes] | None
    """Compressed bytes and the length of the contents to the contents; None if there is no way."""


def _zstd_compress(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=19).compress(data)


def _zstd_decompress(data: bytes, length: int) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)


def _brotli_compress(data: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(data, quality=11, lgwin=24))


def _brotli_decompress(data: bytes, length: int) -> bytes:
    import brotli

    return bytes(brotli.decompress(data))


_PPMD_MEMORY = 256 << 20


def _ppmd_compress(order: int) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        import pyppmd

        encoder = pyppmd.Ppmd7Encoder(order, _PPMD_MEMORY)
        return bytes(encoder.encode(data) + encoder.flush())

    return compress


def _ppmd_decompress(order: int) -> Callable[[bytes, int], bytes]:
    def decompress(data: bytes, length: int) -> bytes:
        import pyppmd

        decoder = pyppmd.Ppmd7Decoder(order, _PPMD_MEMORY)
        decoded = bytes(decoder.decode(data, length))
        while len(decoded) < length:  # the coder may want a byte behind the end
            more = bytes(decoder.decode(b"\0", length - len(decoded)))
            if not more:
                break
            decoded += more
        return decoded

    return decompress


_PYTHON = f"python {platform.python_version()}"

COMPRESSORS: dict[str, tuple[str, str, Callable[[bytes], bytes], Callable[[bytes, int], bytes]]] = {
    "gzip": ("gzip -9", "", lambda data: gzip.compress(data, 9, mtime=0),
             lambda data, length: gzip.decompress(data)),
    "bzip2": ("bzip2 -9", "", lambda data: bz2.compress(data, 9),
              lambda data, length: bz2.decompress(data)),
    "xz": ("xz -9e", "", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
           lambda data, length: lzma.decompress(data)),
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
                    raise UsageError(f"{name} needs the package {package}") from None
                continue
        found.append(Compressor(title, f"{title}, {version}", compress, decompress))
    return found


def command_compressor(line: str) -> Compressor:
    """A command line, `NAME=COMMAND` or just the command, as a compressor.

    It is given the names of two files where it says {in} and {out}; without those, contents on
    standard input, and its standard output is the size. Nothing is decoded. Raises UsageError.
    """
    head, equals, rest = line.partition("=")
    named = bool(equals) and head.strip() != "" and not any(c in head for c in " /{-")
    name, command = (head.strip(), rest) if named else (line.strip(), line)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{line!r}: {error}") from None
    if not words:
        raise UsageError(f"{line!r} is no command")
    if ("{in}" in command) != ("{out}" in command):
        raise UsageError(f"{line!r}: name both {{in}} and {{out}}, or neither")

    def compress(data: bytes) -> bytes:
        with tempfile.TemporaryDirectory(prefix="lmzip-") as folder:
            source, target = Path(folder, "contents"), Path(folder, "compressed")
            filled = [w.replace("{in}", str(source)).replace("{out}", str(target)) for w in words]
            files = filled != words
            if files:
                source.write_bytes(data)
            try:
                run = subprocess.run(
                    filled, input=b"" if files else data, capture_output=True, check=False
                )
            except OSError as error:
                raise LmzipError(f"{words[0]}: {error.strerror}") from None
            if run.returncode:
                said = run.stderr.decode(errors="replace").strip().splitlines()
                raise LmzipError(": ".join([f"{words[0]} failed ({run.returncode})", *said[-1:]]))
            if not files:
                return run.stdout
            if not target.exists():
                raise LmzipError(f"{words[0]} wrote no {{out}}")
            return target.read_bytes()

    return Compressor(name, f"command {command.strip()}", compress, None)
