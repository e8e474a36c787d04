"""`make demo`: a real English text, compressed, decompressed, compared, beside the classics.

The text is Python's own language reference as `pydoc` ships it, so it is on every machine; with
LMZIP_CORPORA set it is the start of a novel by Thomas Hardy (book1 of the Calgary corpus).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.classical import classical_sizes
from lmzip.api import models_home
from lmzip.levels import LEVELS
from lmzip.models.store import ModelStore

DEMO_BYTES = 32_768


def demo_text() -> tuple[str, bytes]:
    """A name and 32 KiB of English."""
    folder = os.environ.get("LMZIP_CORPORA")
    book = Path(folder or ".") / "eval" / "book1"
    if folder and book.exists():
        return "book1 (Hardy), first 32 KiB", book.read_bytes()[:DEMO_BYTES]
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    start = text.index("\n", len(text) // 3) + 1
    return "Python's reference, 32 KiB of it", text[start:].encode()[:DEMO_BYTES]


def run(command: str, *arguments: str) -> float:
    """Run the installed lmzip command as a user would; seconds it took."""
    print(f"$ lmzip {command}", flush=True)
    started = time.perf_counter()
    code = os.spawnl(os.P_WAIT, str(Path(sys.executable).parent / "lmzip"), "lmzip", *arguments)
    if code:
        sys.exit(f"lmzip failed with exit code {code}")
    return time.perf_counter() - started


def main() -> None:
    name, data = demo_text()
    with tempfile.TemporaryDirectory() as folder:
        text, archive = Path(folder) / "text", Path(folder) / "text.lmz"
        back = Path(folder) / "back"
        text.write_bytes(data)
        compress_s = run("text", str(text))
        decompress_s = run("-d text.lmz -o back", "-d", str(archive), "-o", str(back))
        if back.read_bytes() != data:
            sys.exit("the round trip failed: the bytes differ")
        sizes: dict[str, int | None] = {"lmzip": archive.stat().st_size}
        large = LEVELS[4]
        installed = {model.name for model in ModelStore(models_home()).installed()}
        if large.model in installed:
            run("-5 text", "-5", "-f", str(text))
            run("-t text.lmz", "-t", str(archive))
            sizes[f"lmzip -5 ({large.model[:12]})"] = archive.stat().st_size
    print(f"\nround trip of {name} ({len(data)} bytes): identical")
    print(
        f"compressed in {compress_s:.1f} s, decompressed in {decompress_s:.1f} s, start included\n"
    )
    if large.model not in installed:
        print(f"('lmzip models pull {large.model}' gets the model of levels 4 to 9)\n")
    print(f"{'':24} {'bytes':>7} {'bits/byte':>9}")
    sizes |= classical_sizes(data)
    for label, found in sorted(sizes.items(), key=lambda item: item[1] or 1 << 60):
        shown = "not installed" if found is None else f"{found:>7} {8 * found / len(data):>9.3f}"
        print(f"{label:24} {shown}")


if __name__ == "__main__":
    main()
