"""`lmzip info` and `lmzip -l`: what is in an archive, read from its index."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..errors import LmzipError

__all__ = ["info", "list_archives"]


def _describe(path: str) -> dict[str, Any]:
    from ..codec import ArchiveIndex
    from ..models.registry import registered_name

    with open(path, "rb") as file:
        index = ArchiveIndex(file)
        kinds = {kind.name.lower(): count for kind, count in index.kinds().items()}
        frames = []
        for frame in index.frames:
            model = frame.header.model
            frames.append(
                {
                    "content_bytes": frame.trailer.content_bytes,
                    "archive_bytes": frame.trailer.frame_bytes,
                    "blocks": len(frame.trailer.blocks),
                    "content_hash": frame.trailer.content_hash.hex() or None,
                    "model": None
                    if model is None
                    else {
                        "name": _printable(model.name) or registered_name(model.identity),
                        "identity": model.identity.hex(),
                        "numerics": model.numerics,
                        "window": model.window,
                        "sinks": model.sinks,
                        "stream_tokens": model.stream_tokens,
                        "streams_at_once": model.streams_at_once,
                        "mixing": model.mixing,
                        "mixing_bits": model.mixing_bits,
                        "solid": model.solid,
                    },
                }
            )
        return {
            "file": path,
            "content_bytes": index.content_bytes,
            "archive_bytes": index.archive_bytes,
            "blocks": kinds,
            "archives": frames,
        }


def _printable(name: str) -> str:
    """A name from an archive, safe to show on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _rate(archive_bytes: int, content_bytes: int) -> str:
    return f"{8 * archive_bytes / content_bytes:.4f}" if content_bytes else "-"


def list_archives(files: Sequence[str]) -> int:
    """Print one line an archive; the exit code."""
    failed = 0
    rows = []
    for name in files:
        try:
            if name == "-":
                raise LmzipError("standard input cannot be listed: the index is at the end")
            rows.append(_describe(name))
        except (LmzipError, OSError) as error:
            failed = 1
            reason = (isinstance(error, OSError) and error.strerror) or error
            print(f"lmzip: {name}: {reason}", file=sys.stderr)
    if rows:
        print(f"{'compressed':>12} {'contents':>12} {'bits/byte':>9}  {'model':24} file")
    for row in rows:
        names = [frame["model"]["name"] for frame in row["archives"] if frame["model"]]
        print(
            f"{row['archive_bytes']:>12} {row['content_bytes']:>12} "
            f"{_rate(row['archive_bytes'], row['content_bytes']):>9}  "
            f"{', '.join(dict.fromkeys(names)) or '-':24} {row['file'].removesuffix('.lmz')}"
        )
    if len(rows) > 1:
        archive = sum(row["archive_bytes"] for row in rows)
        content = sum(row["content_bytes"] for row in rows)
        print(f"{archive:>12} {content:>12} {_rate(archive, content):>9}  {'':24} (total)")
    return failed


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.help_option("-h", "--help")
def info(files: tuple[str, ...], as_json: bool) -> None:
    """Show what is inside archives, without decoding them."""
    failed = 0
    for name in files:
        try:
            found = _describe(name)
        except (LmzipError, OSError) as error:
            failed = 1
            reason = (isinstance(error, OSError) and error.strerror) or error
            print(f"lmzip: {name}: {reason}", file=sys.stderr)
            continue
        if as_json:
            print(json.dumps(found))
            continue
        rate = _rate(found["archive_bytes"], found["content_bytes"])
        blocks = ", ".join(f"{n} {kind}" for kind, n in found["blocks"].items() if n) or "none"
        print(f"{name}: {found['archive_bytes']} bytes, {rate} bits per byte")
        print(
            f"  contents     {found['content_bytes']} bytes in {len(found['archives'])} archive(s)"
        )
        print(f"  blocks       {blocks}")
        for frame in found["archives"]:
            model = frame["model"]
            if frame["content_hash"]:
                print(f"  checksum     {frame['content_hash']} (BLAKE2b-64 of the contents)")
            if model is not None:
                print(f"  model        {model['name']}, identity {model['identity']}")
                print(f"  arithmetic   version {model['numerics']}")
                at_once = model["streams_at_once"]
                print(
                    f"  coding       window {model['window']}, {model['sinks']} sinks, streams of "
                    f"{model['stream_tokens']} tokens{f', {at_once} at once' if at_once else ''}"
                )
                mixing = "none"
                if model["mixing"]:
                    nodes = 1 << model["mixing_bits"]
                    mixing = f"version {model['mixing']}, tables of at most {nodes} nodes"
                    mixing += ", across blocks (solid)" if model["solid"] else ""
                print(f"  mixing       {mixing}")
    sys.exit(failed)
