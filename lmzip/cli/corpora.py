"""`lmzip corpora`: list, get, verify, make."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FilePath
from .progress import ModelBar
from .say import clean, say

if TYPE_CHECKING:
    from ..corpora import CorpusStore, Manifest

__all__ = ["corpora", "corpus_store"]

_FROM = "Take the archive or the files from a mirror, or from a file or folder of this machine."


def corpus_store(offline: bool = False) -> CorpusStore:
    """The sets of texts on this machine.

    LMZIP_HOME names the folder they are kept in, instead of the user's cache; LMZIP_CORPORA one
    that has standard texts in its subfolder eval/.
    """
    from ..api import models_home
    from ..corpora import CorpusStore

    shared = os.environ.get("LMZIP_CORPORA")
    extra = [Path(shared) / "eval"] if shared else []
    return CorpusStore(models_home(), extra=extra, offline=offline)


def _report(problem: object) -> None:
    say(f"{problem}")


@click.group()
@click.help_option("-h", "--help")
def corpora() -> None:
    """List, fetch and verify sets of texts to measure on.

    'lmzip measure corpus:NAME' measures one.
    """


@corpora.command("list")
@click.help_option("-h", "--help")
def list_corpora() -> None:
    """Show the known sets, and where they are."""
    from ..corpora.folders import local_files

    store = corpus_store()
    rows = [("name", "files", "bytes", "licence", "where")]
    for manifest in store.manifests():
        if manifest.local is not None:
            paths = [path for _, path in local_files(manifest.local)]
            count, size = len(paths), sum(path.stat().st_size for path in paths)
            where = "this machine" if paths else "-"
        else:
            count, size = len(manifest.files), manifest.size_bytes
            where = clean(store.installed(manifest) or "-")
        licence = clean(manifest.licence)
        rows.append((manifest.name, f"{count:,}", f"{size:,}", licence, where))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for name, files, size_bytes, licence, where in rows:
        print(
            f"{name:{widths[0]}}  {files:>{widths[1]}}  {size_bytes:>{widths[2]}}  "
            f"{licence:{widths[3]}}  {where}"
        )


@corpora.command("get")
@click.argument("names", metavar="NAME|FILE.toml...", nargs=-1, required=True)
@click.option("--from", "origin", metavar="URL_OR_PATH", help=_FROM)
@click.option("-f", "--force", is_flag=True, help="Fetch again a set that is already there.")
@click.option("--offline", is_flag=True, envvar="LMZIP_OFFLINE", help="Do not use the network.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@click.help_option("-h", "--help")
def get(
    names: tuple[str, ...], origin: str | None, force: bool, offline: bool, quiet: bool
) -> None:
    """Fetch sets. A set appears only after the hashes of all its files are verified."""
    from ..errors import CorpusError, UsageError

    store = corpus_store(offline)
    failed = 0
    for name in names:
        bar = ModelBar(show=not quiet)
        try:
            manifest = store.manifest(name)
            folder = store.get(manifest, origin=origin, force=force, progress=bar)
        except (CorpusError, UsageError) as error:
            failed = max(failed, 2 if isinstance(error, UsageError) else 1)
            _report(error)
            continue
        except OSError as error:
            failed = max(failed, 1)
            _report(f"{error.filename or name}: {error.strerror or error}")
            continue
        finally:
            bar.close()
        if not quiet:
            print(f"{manifest.name}: {_size(manifest)} in {clean(folder)}")
    sys.exit(failed)


def _size(manifest: Manifest) -> str:
    count = len(manifest.files)
    return f"{count} file{'' if count == 1 else 's'}, {manifest.size_bytes:,} bytes"


@corpora.command("verify")
@click.argument("name", metavar="NAME|FILE.toml")
@click.argument("folder", required=False, type=FilePath(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="Print only what is wrong.")
@click.help_option("-h", "--help")
def verify(name: str, folder: Path | None, quiet: bool) -> None:
    """Check every file of a set, in the store or in FOLDER.

    The output has one line for each file that is missing or differs.
    """
    from ..corpora.folders import local_files
    from ..errors import UsageError

    store = corpus_store()
    manifest = store.manifest(name)
    if manifest.local is not None:
        found = len(local_files(manifest.local))
        if not found:
            _report(f"{manifest.name}: this machine has none of its files")
        elif not quiet:
            print(f"{manifest.name}: {found:,} files, without hashes because they vary by machine")
        sys.exit(0 if found else 1)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    bar = ModelBar(show=not quiet)
    try:
        problems = list(store.verify(manifest, folder, progress=bar))
    finally:
        bar.close()
    for path, problem in problems:
        print(f"{clean(path)}: {problem}")
    if problems:
        _report(
            f"{manifest.name}: {len(problems)} of {len(manifest.files)} files are missing or differ"
        )
        if len(problems) == len(manifest.files) and folder is None and manifest.sources:
            _report(f"'lmzip corpora get {name}' fetches the set")
    elif not quiet:
        print(f"{manifest.name}: {_size(manifest)}, all verified")
    sys.exit(1 if problems else 0)


@corpora.command("make")
@click.argument("folder", type=FilePath(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE.toml",
    type=FilePath(standard=True),
    help="Write to this file.  [default: NAME.toml]",
)
@click.option("--name", help="Name of the set.  [default: the name of FOLDER]")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the texts.")
@click.option("--about", default="", metavar="TEXT", help="Description of the texts.")
@click.option("-f", "--force", is_flag=True, help="Replace FILE.toml.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@click.help_option("-h", "--help")
def make(
    folder: Path,
    output: str | None,
    name: str | None,
    licence: str,
    about: str,
    force: bool,
    quiet: bool,
) -> None:
    """Write a manifest of the files below FOLDER, without hidden files; '-o -' prints it."""
    from ..corpora import make_manifest, manifest_text
    from ..errors import CorpusError, UsageError
    from ..files import atomic_output

    chosen = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    target = None if output == "-" else Path(output or f"{chosen}.toml")
    if target is not None and target.suffix != ".toml":
        raise UsageError(f"{target}: the name of a manifest must end in .toml")
    if target is not None and target.exists() and not force:
        raise CorpusError(f"{target} already exists (--force replaces it)")
    bar = ModelBar(show=not quiet)
    try:
        manifest = make_manifest(
            folder, chosen, about=about, licence=licence, leave_out=target, progress=bar
        )
    finally:
        bar.close()
    text = manifest_text(manifest, beside=None if target is None else target.parent)
    if target is None:
        print(text, end="")
        return
    with atomic_output(target, overwrite=force) as file:
        file.write(text.encode("utf-8"))
    if not quiet:
        print(f"{clean(target)}: {_size(manifest)}")
