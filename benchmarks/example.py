"""docs/example/: models and compressors on a dozen texts, as `lmzip compare` shows them.

`python benchmarks/example.py` (LMZIP_CORPORA must name the shared texts). Of their texts only
sizes are kept; what the page shows in colours is lmzip's own README.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
WHOLE = ("fields.c", "grammar.lsp", "xargs.1")
CUT = {
    "alice29.txt": "alice29-start.txt",
    "asyoulik.txt": "asyoulik-start.txt",
    "paper1": "paper1-start",
    "progc": "progc-start.c",
    "prose_en_peps_2025-09_2026.rst": "peps-2026.rst",
    "code_c_ds4.c": "code-2026.c",
    "data_json_npm_view.json": "npm-view.json",
    "ml_fr_azd.md": "french.md",
}
CUT_BYTES = 30_000
MODELS = ("lmzip-1m", "lmzip-3m", "smollm2-135m-instruct", "float:smollm2-135m-instruct")
COMPRESSORS = ("gzip", "bzip2", "xz", "zstd", "brotli", "ppmd")


@click.command()
@click.option("--output", default=ROOT / "docs" / "example", type=click.Path(path_type=Path))
@click.option("--float-model", default=MODELS[-1], show_default=True,
              help="A GGUF file instead of a download: float:FILE.")  # fmt: skip
def main(output: Path, float_model: str) -> None:
    """Make the example."""
    if "LMZIP_CORPORA" not in os.environ:
        sys.exit("LMZIP_CORPORA names no folder")
    texts = Path(os.environ["LMZIP_CORPORA"], "eval")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "texts")
        folder.mkdir()
        for text in WHOLE:
            shutil.copyfile(texts / text, folder / text)
        for text, short in CUT.items():
            (folder / short).write_bytes((texts / text).read_bytes()[:CUT_BYTES])
        shutil.copyfile(ROOT / "README.md", folder / "lmzip-README.md")
        documents = sorted(os.listdir(folder))
        source = float_model.removeprefix("float:")
        if Path(source).exists():  # under a name that says nothing of this machine
            os.symlink(Path(source).resolve(), folder / Path(source).name)
            float_model = f"float:{Path(source).name}"
        command = [sys.executable, "-m", "lmzip", "compare", "-3", *documents]
        for model in (*MODELS[:-1], float_model):
            command += ["-m", model]
        for compressor in COMPRESSORS:
            command += ["-c", compressor]
        command += ["--heat-map-of", "lmzip-README.md", "--heat-map", "3000"]
        command += ["--results", "results.jsonl", "--html", "page.html", "--plots", "."]
        kept = output / "results.jsonl"
        if kept.exists():
            shutil.copyfile(kept, folder / kept.name)
        run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
        output.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "results.jsonl", kept)  # whatever happens, the next run goes on
        if run.returncode:
            sys.exit(run.returncode)
        for path in (*folder.glob("*.svg"), folder / "page.html"):
            shutil.copyfile(path, output / path.name)
    figures = "\n\n".join(f"![{p.stem}]({p.name})" for p in sorted(output.glob("*.svg")))
    (output / "README.md").write_text(
        "# A comparison\n\n"
        "Made by `python benchmarks/example.py`: the default level's window (512) and streams for "
        "all\nmodels; small files, the first 30,000 bytes of larger ones (four of them of 2025 and "
        "2026), and\nlmzip's own README. [page.html](page.html) is the same with tables to sort, "
        "and the README\ncoloured by its bits; `results.jsonl` the measurements. Speeds are of a "
        "noisy machine with two\ncores.\n\n" + run.stdout + "\n" + figures + "\n"
    )


if __name__ == "__main__":
    main()
