"""What is refused before anything is measured: options without effect, outputs over inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..errors import UsageError

__all__ = ["refuse_idle_options", "refuse_options", "refuse_overwriting"]

_CODING = ("stream_length", "block_size", "no_mix", "solid")
"""Options of archives alone."""


def _given(name: str) -> bool:
    """Whether the command line itself says it."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def refuse_options(names: Sequence[str], why: str) -> None:
    """Raise UsageError for the first of these parameters that the command line itself gives."""
    for name in names:
        if _given(name):
            option = {"level": "-1 to -9"}.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"{option}: {why}")


def refuse_idle_options(given: dict[str, Any], *, floats: int, packs: int) -> None:
    """Raise UsageError for an option that would do nothing.

    `floats` and `packs` are how many models of each sort there are.
    """
    idle: list[tuple[str, bool, str]] = [
        ("alternatives", not given.get("per_token"), "--per-token"),
        ("heat_map", not given["html"], "--html"),
        ("heat_map_of", not given["html"], "--html"),
        ("dtype", not floats, "a float model (-m float:NAME)"),
    ]
    archives = packs > 0 and given["protocol"] == "codec"
    needed_archives = "archives, which this command would not make"
    idle += [(name, not archives, needed_archives) for name in _CODING]
    if "compressors" not in given:
        idle.append(("decode", not archives, needed_archives))
    for name, without, needed in idle:
        if without and _given(name):
            raise UsageError(f"--{name.replace('_', '-')} needs {needed}")
    if given["protocol"] == "cril" and given["window"]:
        raise UsageError(
            "--window cannot be combined with --protocol cril, which has a fixed window"
        )
    if given.get("no_compressors") and given["compressors"]:
        raise UsageError("-c and --no-compressors cannot be combined")


def refuse_overwriting(given: dict[str, Any], inputs: Sequence[str]) -> None:
    """Raise UsageError if an output is one of the documents' files (real paths), or two are one, or
    its folder is missing: better now than when all is measured."""
    outputs: dict[str, str] = {}
    for option in ("html", "per_token", "results", "csv", "plot"):
        if not given.get(option):
            continue
        name, target = f"--{option.replace('_', '-')}", os.path.realpath(given[option])
        if target in inputs:
            raise UsageError(f"{name} {given[option]}: would overwrite a document")
        if target in outputs:
            raise UsageError(f"{name} {given[option]}: {outputs[target]} names the same file")
        outputs[target] = name
        if option == "plot" and Path(target).suffix.lower() not in ("", ".svg"):
            raise UsageError(f"{name} {given[option]}: plots are SVG files (*.svg)")
        if not Path(target).parent.is_dir():
            raise UsageError(
                f"{name} {given[option]}: cannot be written, because there is no such folder"
            )
    if given.get("plots"):
        folder = Path(os.path.realpath(given["plots"]))
        if not os.access(folder if folder.is_dir() else folder.parent, os.W_OK):
            raise UsageError(f"--plots {given['plots']}: cannot be written")
        for path in (*inputs, *outputs):
            if Path(path).parent == folder and path.endswith(".svg"):
                raise UsageError(f"--plots {given['plots']}: might overwrite {Path(path).name}")
