"""More kinds of text from Debian's packages: `python -m training.corpora TARGET`.

Fetches packages by name and version with apt, checks their hashes, and writes one file of documents
a language or kind into `TARGET/train`, as `training.data` reads them. The list is
`configs/packages.tsv`: what to write, the package, its version, its SHA-256, how to read it, where.
"""

from __future__ import annotations

import argparse
import gettext
import gzip
import hashlib
import html
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .text import SEPARATOR

_SKIPPED = re.compile(r"(?is)<(script|style|head|nav|info|title)\b.*?</\1>|<!--.*?-->|<\?.*?\?>")
_BLOCK = re.compile(r"(?i)</?(p|div|h\d|li|item|tr|table|section|title|page|pre|br|dt|dd)\b[^>]*>")
_TAG = re.compile(r"<[^>]+>")
_BLANKS = re.compile(r"[ \t]*\n[ \t]*(\n\s*)?")


def _markup(raw: bytes) -> str:
    """The text of an HTML or XML page, a line (or an empty line between) for every block."""
    text = _SKIPPED.sub("", raw.decode("utf-8", "ignore"))
    text = re.sub(r"\s+", " ", text)
    text = html.unescape(_TAG.sub("", _BLOCK.sub("\n\n", text)))
    return re.sub(r"\n{3,}", "\n\n", _BLANKS.sub(lambda m: "\n\n" if m[1] else "\n", text)).strip()


def _catalogue(raw: bytes) -> str:
    """The translations of a compiled message catalogue, one a line."""
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.seek(0)
        messages = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    lines = [re.sub(r"[~_&](?=\w)", "", text) for key, text in messages.items() if key]
    return "\n".join(line for line in lines if line.strip())


def _manual(raw: bytes) -> str:
    """A manual page as a terminal of 78 columns shows it."""
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    command = ["groff", "-mandoc", "-Tutf8", "-Kutf8", "-P-cbou", "-rLL=78n"]
    return subprocess.run(command, input=raw, capture_output=True).stdout.decode("utf-8", "ignore")


def _plain(raw: bytes) -> str:
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return raw.decode("utf-8", "ignore")


READERS: dict[str, Callable[[bytes], str]] = {
    "markup": _markup,
    "catalogue": _catalogue,
    "manual": _manual,
    "plain": _plain,
}


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a glob: `**/` is any folders, `*` any part of a name."""
    words = {"**/": "(?:.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*|\[[^]]*\])", pattern)
    return re.compile("".join(words.get(p, p if p[:1] == "[" else re.escape(p)) for p in parts))


def documents(package: Path, reader: str, pattern: str) -> Iterator[str]:
    """Every file of a Debian package that matches the glob `pattern`, as text, sorted by name."""
    wanted, found = _expression(pattern.replace("[!", "[^")), {}
    command = ["dpkg-deb", "--fsys-tarfile", package]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and wanted.fullmatch(name):
                    file = archive.extractfile(member)
                    assert file is not None
                    found[name] = file.read()
    for name in sorted(found):
        text = READERS[reader](found[name]).strip()
        if len(text) > 200:
            yield text


def fetch(name: str, version: str, sha256: str, folder: Path) -> Path:
    """The package's file in `folder`, downloaded with apt if it is not there.

    Raises ValueError if its hash is another.
    """
    pattern = f"{name}_{version.replace(':', '%3a')}_*.deb"
    if not list(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", "-q", f"{name}={version}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    path = next(folder.glob(pattern))
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ValueError(f"{path.name} does not have the hash that the list wants")
    return path


def build(target: Path, listing: Path) -> None:
    """Write `target/train/NAME.txt` for every NAME of the listing, unless it is there."""
    wanted: dict[str, list[list[str]]] = {}
    for line in listing.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, *rest = line.split("\t")
            wanted.setdefault(name, []).append(rest)
    (target / "train").mkdir(parents=True, exist_ok=True)
    for name, parts in wanted.items():
        path = target / "train" / f"{name}.txt"
        if path.exists():
            continue
        found: dict[str, None] = {}
        for package, version, sha256, reader, pattern in parts:
            file = fetch(package, version, sha256, target / "packages")
            found.update(dict.fromkeys(documents(file, reader, pattern)))
        temporary = path.with_suffix(".tmp")
        temporary.write_text(SEPARATOR.join(found), "utf-8")
        temporary.replace(path)
        print(f"{name}: {len(found)} documents, {path.stat().st_size / 1e6:.1f} MB", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.corpora", description=__doc__)
    parser.add_argument("target", type=Path, help="folder; texts are written to its train/")
    default = Path(__file__).parent / "configs" / "packages.tsv"
    parser.add_argument("--listing", type=Path, default=default)
    args = parser.parse_args()
    build(args.target, args.listing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
