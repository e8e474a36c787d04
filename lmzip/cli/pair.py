"""`lmzip pair`: two files in one archive, the second given the first."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from ..errors import LmzipError, UsageError
from ..files import atomic_output, read_up_to, replaces, shared_mode
from .options import FilePath, coding_options, model_options, time_limit_option
from .progress import CodingBar, PartBar
from .say import say

__all__ = ["pair"]

_STANDARD = "-"
"""Standard input or output."""


@click.command("pair")
@click.argument("paths", metavar="FIRST SECOND", nargs=-1, type=FilePath(standard=True))
@click.option("-o", "--output", metavar="FILE", help="Write the pair to FILE.",
              type=FilePath(standard=True, dir_okay=False, path_type=Path))  # fmt: skip
@click.option(
    "-d",
    "--decompress",
    is_flag=True,
    help="Write the two files of a pair again: PAIR FIRST SECOND.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
@click.option("-v", "--verbose", is_flag=True, help="Report what was done.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@coding_options
@model_options
@time_limit_option
@click.help_option("-h", "--help")
def pair(paths: tuple[str, ...], **given: Any) -> None:
    """Write two files to one archive: FIRST, and SECOND coded given FIRST.

    'lmzip -d' of the archive gives both, one after the other. 'lmzip pair -d PAIR FIRST SECOND'
    writes the two files, and fails if the second one is missing. - is standard input or, after
    -o, standard output.
    """
    from .choices import chosen_models

    apart = given["decompress"]
    if len(paths) != (3 if apart else 2) or apart == (given["output"] is not None):
        usage = "-d PAIR FIRST SECOND" if apart else "FIRST SECOND -o PAIR"
        raise click.UsageError(f"the command is: lmzip pair {usage}")
    models, parameters = chosen_models(given)
    if apart:
        _take_apart(paths, models, given)
    else:
        _put_together(paths, models, parameters, given)


def _free(path: Path, force: bool) -> Path:
    if path.is_dir():
        raise UsageError(f"{path} is a directory")
    if path.exists() and replaces(path) and not force:
        raise FileExistsError(errno.EEXIST, "already exists (-f overwrites it)", str(path))
    return path


def _read(name: str) -> bytes:
    if name != _STANDARD:
        return Path(name).read_bytes()
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return read_up_to(sys.stdin.buffer)


def _refuse_same(target: Path, inputs: Iterable[str]) -> None:
    files = (Path(name) for name in inputs if name != _STANDARD)
    if any(path.exists() and target.exists() and target.samefile(path) for path in files):
        raise UsageError(f"{target} would replace an input file")


def _put_together(
    paths: tuple[str, ...], models: Any, parameters: Any, given: dict[str, Any]
) -> None:
    from ..codec import write_pair
    from .files import standard_output

    if paths.count(_STANDARD) > 1:
        raise UsageError("standard input can only be read once")
    target, force = given["output"], given["force"]
    with contextlib.ExitStack() as stack:
        if str(target) == _STANDARD:
            out = standard_output(compressed=True, force=force)
            first, second = map(_read, paths)
        else:
            _refuse_same(_free(target, force), paths)
            first, second = map(_read, paths)
            within = shared_mode(os.stat(name) for name in paths if name != _STANDARD)
            out = stack.enter_context(atomic_output(target, overwrite=force, within=within))
        work = len(first) + len(second)
        bar = stack.enter_context(CodingBar(str(target), work, show=not given["quiet"]))
        summaries = write_pair(
            first, second, out.write, models, parameters,
            memory_limit=given["memory_limit"], progress=_on_and_on(bar),
        )  # fmt: skip
    if given["verbose"]:
        sizes = [s.archive_bytes for s in summaries]
        say(f"{target}: {len(first)} + {len(second)} -> {sizes[0]} + {sizes[1]} bytes", plain=True)


def _on_and_on(bar: CodingBar) -> Callable[[int, int], None]:
    """Progress of one file after another: each begins with 0 again."""
    before = content = archive = archived = 0

    def progress(content_bytes: int, archive_bytes: int) -> None:
        nonlocal before, content, archive, archived
        if archive_bytes < archive:
            before, archived = before + content, archived + archive
        content, archive = content_bytes, archive_bytes
        bar(before + content, archived + archive)

    return progress


def _take_apart(paths: tuple[str, ...], models: Any, given: dict[str, Any]) -> None:
    from ..codec import split_pair

    if _STANDARD in paths[1:]:
        raise UsageError(
            "two files are needed to write to; 'lmzip -dc PAIR' writes one after the other"
        )
    targets = [_free(Path(path), given["force"]) for path in paths[1:]]
    if len({os.path.realpath(target) for target in targets}) == 1:
        raise UsageError("both files of the pair would have the same name")
    for target in targets:
        _refuse_same(target, paths[:1])
    archive = _read(paths[0])
    name = "(standard input)" if paths[0] == _STANDARD else paths[0]
    within = shared_mode(os.stat(path) for path in paths[:1] if path != _STANDARD)
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(atomic_output(target, overwrite=given["force"], within=within))
            for target in targets
        )
        bar = stack.enter_context(PartBar(name, show=not given["quiet"]))
        try:
            sizes = split_pair(
                archive, first.write, second.write, models, memory_limit=given["memory_limit"],
                time_limit=given["time_limit"], progress=bar,
            )  # fmt: skip
        except LmzipError as error:
            raise type(error)(f"{name}: {error}") from None
    if given["verbose"]:
        say(f"{name}: {sizes[0]} + {sizes[1]} bytes", plain=True)
