"""The commands that faults are injected into: their inputs, and what they must leave behind."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"
TEXT = b"".join(b"Line %d of a text that must come back whole.\n" % (i * i % 97) for i in range(60))
OTHER = b"A second text, which is like the first: line 4 of a text.\n" * 8


@dataclasses.dataclass(frozen=True)
class Command:
    """A run in a folder of its own."""

    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    """Files that must be there whole and right, or not at all (or as they were before)."""
    removed: str = ""
    """The input that the command removes once its output is safe."""
    stdout: str = ""
    """Standard output goes to this file: whole if the exit code is 0."""
    lines: str = ""
    """A file that lines are appended to: those from before stay, and the last one may be cut."""


COMMANDS = {
    "compress": Command(("a.txt",), ("a.txt.lmz",)),
    "decompress": Command(("-d", "p.lmz"), ("p",)),
    "test": Command(("-t", "p.lmz")),
    "output": Command(("-o", "out.lmz", "a.txt"), ("out.lmz",)),
    "replace": Command(("-f", "-o", "old.lmz", "a.txt"), ("old.lmz",)),
    "remove": Command(("--rm", "a.txt"), ("a.txt.lmz",), removed="a.txt"),
    "decompress-remove": Command(("-d", "--rm", "p.lmz"), ("p",), removed="p.lmz"),
    "stdout": Command(("-c", "a.txt"), stdout="out"),
    "decompress-stdout": Command(("-dc", "p.lmz"), stdout="out"),
    "measure": Command(
        ("measure", "-q", "--json", "--model", "tiny", "--results", "r.jsonl", "a.txt"),
        stdout="out",
        lines="r.jsonl",
    ),
    "add": Command(("models", "add", "m.lmzpack", "--name", "other"),
                   ("home/models/other.lmzpack",)),
    "pair": Command(("pair", "-q", "a.txt", "b.txt", "-o", "two.lmz"), ("two.lmz",)),
}  # fmt: skip
TIMES = ("compress_s", "decompress_s")
"""Fields of a measurement that differ from run to run."""


def prepare(folder: Path, packed: bytes) -> None:
    """Fill an empty folder with the inputs of all commands; `packed` is an archive of TEXT."""
    (folder / "a.txt").write_bytes(TEXT)
    (folder / "b.txt").write_bytes(OTHER)
    (folder / "p.lmz").write_bytes(packed)
    (folder / "old.lmz").write_bytes(b"what was here before")
    models = folder / "home" / "models"
    models.mkdir(parents=True)
    pack = GOLDEN / "golden-tiny.lmzpack"
    shutil.copy(pack, models / "tiny.lmzpack")
    os.link(models / "tiny.lmzpack", folder / "m.lmzpack")


ENVIRONMENT = {
    "LMZIP_HOME": "home",
    "LMZIP_MODEL": "tiny",
    "LMZIP_OFFLINE": "1",
    "LMZIP_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
