"""`lmzip lab`: experiments on knowledge, memory and scaling, measured by streams that decode."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .lab_models import opened_pack
from .lab_tests import (
    correlate_command,
    density_command,
    fit_command,
    heaps_command,
    same_source_command,
)
from .lab_text import draw_command, facts_command, positions_command
from .outcome import Outcome

if TYPE_CHECKING:
    from ..lab.findings import Finding

__all__ = ["lab"]

_EXPERIMENTS = (
    "fits", "data", "capacity", "model", "threshold", "knowledge", "structure", "prequential",
    "finetune",
)  # fmt: skip
"""As in lmzip/lab/run.py, which is not imported for a list of names."""
_FILE = click.Path(dir_okay=False, path_type=Path)
_SOURCE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("lab")
@click.help_option("-h", "--help")
def lab() -> None:
    """Run experiments whose numbers are lengths of streams that decode (docs/lab.md)."""


@lab.command("make", short_help="Make a corpus of known entropy from a recipe.")
@click.argument("source", type=_SOURCE)
@click.option("-n", "count", type=click.IntRange(1, 1 << 24), default=1 << 15, show_default=True,
              help="Number of sentences.")  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=_FOLDER,
    required=True,
    help="Write to this folder, which must not exist.",
)
@click.help_option("-h", "--help")
def make(source: Path, count: int, output: Path) -> None:
    """Draw sentences from the source that a TOML file describes.

    The command writes corpus.txt (8 bytes for each sentence), facts.tsv, oracle.tsv (the bits of
    every byte under the true distribution and under the Bayesian learner) and recipe.json.
    """
    from ..lab.folder import make_folder
    from ..lab.source import load_recipe

    if output.exists():
        raise UsageError(f"{output} already exists")
    totals = make_folder(load_recipe(source), count, output)
    for what, bits in totals.items():
        print(f"{what:24} {bits:14,.1f} bits  {bits / count:8.4f} per sentence")


@lab.command("code", short_help="Code a corpus of 'lab make' and show bits by role.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--coder", type=click.Choice(["py", "mix"]), default="py", show_default=True,
              help="Code with the Bayesian learner (py), or with adaptive mixing over a uniform "
              "model (mix).")  # fmt: skip
@click.option("-m", "--model", "pack", metavar="PACK", help="Code with this pack or model instead.")
@click.option("-o", "--output", type=_FILE, help="Write the stream to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.help_option("-h", "--help")
def code(folder: Path, coder: str, pack: str | None, output: Path | None, as_json: bool) -> None:
    """Code a corpus of 'lmzip lab make', and show the bits by role and frequency class.

    The stream is decoded and compared. Frequency classes are quarters of the facts by rank, the
    most frequent first.
    """
    from ..lab.folder import code_folder
    from ..report import markdown
    from ..report.html import Table

    coded = code_folder(folder, coder, opened_pack(pack) if pack else None)
    if output is not None:
        from ..files import atomic_output

        with atomic_output(output, overwrite=True) as file:
            file.write(coded.stream)
    if as_json:
        print(json.dumps(coded.as_dict()))
        return
    rows = tuple((what, bits, bits / coded.count) for what, bits in coded.bits.items())
    print(markdown([Table(
        f"{coded.learner}, {coded.count:,} sentences", ("what", "bits", "per sentence"), rows,
        f"Payload {coded.payload_bits:,} bits, file {coded.file_bits:,}; decoded and compared.",
        (0, 1, 4),
    )]))  # fmt: skip


@lab.command("squeeze", short_help="Compress a model's weights, or restore them.")
@click.argument("pack")
@click.option(
    "-d", "--decompress", is_flag=True, help="Restore the pack from its compressed file PACK."
)
@click.option(
    "--step",
    type=click.IntRange(0, 6),
    default=0,
    show_default=True,
    metavar="J",
    help="First round weights to multiples of 2^J, which makes another model and identity.",
)
@click.option("--prune", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="Q",
              help="First set the smallest fraction Q of each matrix to zero.")  # fmt: skip
@click.option(
    "-o", "--output", type=_FILE, help="Write to this file.  [default: only report sizes]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.help_option("-h", "--help")
def squeeze(
    pack: str, decompress: bool, step: int, prune: float, output: Path | None, as_json: bool
) -> None:
    """Compress the weights of PACK, which is a file or a model's name.

    The option -d restores a pack with the same identity.
    """
    from ..files import atomic_output
    from ..models.convert import write_pack
    from ..models.squeeze import coarsen, squeezed_file, unsqueeze
    from ..models.squeeze import squeeze as squeeze_pack

    if decompress:
        if step or prune:
            raise UsageError("--step and --prune cannot be combined with -d")
        if output is None:
            raise UsageError("-d needs -o FILE")
        found = unsqueeze(squeezed_file(Path(pack)))
        write_pack(found, output)
        print(f"{output}: {found.name}, identity {found.identity.hex()}")
        return
    opened = opened_pack(pack)
    coarse = coarsen(opened, step=step, prune=prune)
    squeezed = squeeze_pack(coarse)
    if unsqueeze(squeezed.data).identity != coarse.identity:
        raise AssertionError("squeezing lost something")
    if output is not None:
        with atomic_output(output, overwrite=True) as file:
            file.write(squeezed.data)
    parameters = coarse.config.parameters()
    if as_json:
        print(json.dumps({
            "name": coarse.name, "identity": coarse.identity.hex(), "pack_bytes":
            opened.size_bytes(), "squeezed_bytes": len(squeezed.data), "decoder_bytes":
            squeezed.decoder_bytes, "parts": squeezed.parts, "bits_per_weight":
            8 * squeezed.parts["weights"] / parameters,
        }))  # fmt: skip
        return
    print(f"{coarse.name}: identity {coarse.identity.hex()} (verified)")
    for name, size in squeezed.parts.items():
        print(f"  {name:12} {size:12,} bytes")
    print(f"  in total     {len(squeezed.data):12,} of {opened.size_bytes():,} bytes of tensors; "
          f"a decoder needs {squeezed.decoder_bytes:,}")  # fmt: skip
    print(f"  weights: {8 * squeezed.parts['weights'] / parameters:.3f} bits each")


@lab.command("run", short_help="Run experiments E1 to E10.")
@click.argument("names", metavar="EXPERIMENT...", nargs=-1, required=True,
                type=click.Choice([*_EXPERIMENTS, "all"]))  # fmt: skip
@click.option(
    "--quick",
    is_flag=True,
    help="Use smaller sizes, which take minutes instead of an hour and a half.",
)
@click.option(
    "--results",
    type=_FILE,
    help="Store rows in this file, and do not compute again those that it already holds.",
)
@click.option("--work", type=_FOLDER, help="Store trained networks and packs in this folder.")
@click.option("--html", type=_FILE, help="Write a page with the tables and plots.")
@click.option("--plot", type=_FOLDER, help="Write the plots to this folder, as SVG files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("-T", "--threads", type=click.IntRange(1, 1024), default=1, show_default=True,
              help="Threads of the exact engine; training uses one.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress.")
@click.help_option("-h", "--help")
def run(names: tuple[str, ...], **given: Any) -> None:
    """Run experiments: fits (E10), data (E1, E2), capacity (E6), model (E3), threshold (E4),
    knowledge (E7), structure (E5), prequential (E8), finetune (E9), or all of them.

    Every expectation is met or refuted, and either is a result. If a control does not hold, the
    exit code is 1. If the command is interrupted, it shows the results so far; --results stores
    them.
    """
    from ..lab.bench import Bench
    from ..lab.rows import LabStore
    from ..lab.run import run_experiments

    if given["html"] or given["plot"]:
        from ..report.plots import require_matplotlib

        require_matplotlib()
    for option in ("html", "results"):
        if given[option] and not given[option].absolute().parent.is_dir():
            raise UsageError(
                f"--{option} {given[option]}: cannot be written, because there is no such folder"
            )
    outcome = Outcome(quiet=given["quiet"])
    chosen = _EXPERIMENTS if "all" in names else tuple(dict.fromkeys(names))
    bench = Bench(
        LabStore(given["results"]), quick=given["quick"], work=given["work"],
        threads=given["threads"], say=lambda message: outcome.notice(message),
    )  # fmt: skip
    findings: list[Finding] = []
    try:
        with outcome.attempt():
            for found in run_experiments(bench, chosen):
                findings += found
                if not given["as_json"]:
                    _show(found, outcome)
    except (KeyboardInterrupt, SystemExit) as stopped:
        outcome.stop(stopped)
    if given["as_json"]:
        from ..lab.pages import findings_as_dicts

        outcome.show(json.dumps(findings_as_dicts(findings)))
    for finding in findings:
        for check in finding.broken:
            outcome.fail(
                f"control does not hold: {check.what}: {check.measured}", finding.experiment
            )
    if findings:
        with outcome.attempt():
            _write(findings, given)
    outcome.exit()


def _show(findings: list[Finding], outcome: Outcome) -> None:
    from ..lab.pages import verdict_tables
    from ..report import markdown

    outcome.show(markdown(verdict_tables(findings), headings=True))


def _write(findings: list[Finding], given: dict[str, Any]) -> None:
    from ..files import atomic_output
    from ..lab.pages import lab_page, plot_files

    if given["plot"]:
        given["plot"].mkdir(parents=True, exist_ok=True)
        for name, svg in plot_files(findings).items():
            (given["plot"] / name).write_text(svg, "utf-8")
    if given["html"]:
        command = " ".join(["lmzip", *sys.argv[1:]])
        with atomic_output(given["html"], overwrite=True) as file:
            file.write(lab_page(findings, command=command).encode())


for _command in (
    fit_command, density_command, correlate_command, heaps_command, same_source_command,
    draw_command, facts_command, positions_command,
):  # fmt: skip
    lab.add_command(_command)
