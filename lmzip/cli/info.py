"""`lmzip info` and `lmzip -l`: what is in an archive, read from its index."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import LmzipError
from .options import FilePath
from .say import clean, say

if TYPE_CHECKING:
    from ..format import SideReference

__all__ = ["info", "list_archives"]


def _describe(path: str) -> dict[str, Any]:
    from ..codec import ArchiveIndex
    from ..models.registry import registered_name

    with open(path, "rb") as file:
        index = ArchiveIndex(file)
        kinds = {kind.name.lower(): count for kind, count in index.kinds().items()}
        archives = []
        for number, archive in enumerate(index.archives):
            header, trailer = archive.header, archive.trailer
            model, side = header.model, header.side
            tokens, work = index.work(number)
            archives.append(
                {
                    "content_bytes": archive.content_bytes,
                    "archive_bytes": archive.archive_bytes,
                    "short": header.short,
                    "blocks": len(archive.blocks),
                    "content_hash": None if trailer is None else trailer.content_hash.hex(),
                    "tokens": tokens,
                    "tokens_read": work,
                    "model": None
                    if model is None
                    else {
                        "name": clean(model.name) or registered_name(model.identity),
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
                    "side": None if side is None else _describe_side(side),
                }
            )
        return {
            "file": path,
            "content_bytes": index.content_bytes,
            "archive_bytes": index.archive_bytes,
            "blocks": kinds,
            "archives": archives,
        }


def _describe_side(side: SideReference) -> dict[str, Any]:
    thoughts = None
    if (t := side.thoughts) is not None:
        thoughts = {
            "tokens": t.tokens,
            "chains": t.chains,
            "temperature": 1 / t.temperature if t.temperature else 0,
            "seed": t.seed,
            "every": t.every,
            "before": t.before.decode("utf-8", "backslashreplace"),
            "behind": t.behind.decode("utf-8", "backslashreplace"),
            "crc": f"{t.crc:08x}",
        }
    return {
        "source": side.source.name.lower(),
        "length_bytes": side.length_bytes,
        "digest": side.digest.hex() or None,
        "splitting": side.splitting,
        "prefix_tokens": side.prefix_tokens,
        "thoughts": thoughts,
    }


def _side_lines(side: dict[str, Any]) -> list[str]:
    """For people."""
    source = {
        "nowhere": "nothing",
        "before": "the contents of the preceding archives",
        "given": f"{side['length_bytes']} bytes with hash {side['digest']}, which decoding needs "
        "(--given FILE; the archive does not record the file's name)",
    }[side["source"]]
    lines = [f"  given        {source}"]
    if side["prefix_tokens"] and side["source"] != "nowhere":
        lines[0] += f"; streams begin with at most its last {side['prefix_tokens']} tokens"
    if (t := side["thoughts"]) is not None:
        line = f"  generated    {t['tokens']} tokens, {t['chains']} chain(s), temperature "
        line += f"{t['temperature']:.3g}, seed {t['seed']}"
        lines.append(line + (f", again every {t['every']} tokens" if t["every"] else ""))
        if t["before"] or t["behind"]:
            lines.append(f"  prompt       {t['before'] + '{think}' + t['behind']!r}")
    return lines


def _ledger(path: str) -> list[dict[str, Any]]:
    from ..codec import ArchiveIndex, ledger

    with open(path, "rb") as file:
        return [dataclasses.asdict(item) for item in ledger(ArchiveIndex(file))]


def _ledger_lines(items: list[dict[str, Any]]) -> list[str]:
    """For people."""
    several = len({item["archive"] for item in items}) > 1
    lines = []
    for item in items:
        where = f"archive {item['archive']}: " if several else ""
        lines.append(f"  {item['bits']:>14,}  {where}{item['name']}")
    total = sum(item["bits"] for item in items)
    return ["  bit breakdown", *lines, f"  {total:>14,}  in total, 8 x {total // 8:,} bytes"]


def _rate(archive_bytes: int, content_bytes: int) -> str:
    return f"{8 * archive_bytes / content_bytes:.3g}" if content_bytes else "-"


def list_archives(files: Sequence[str]) -> int:
    """Print one line an archive; the exit code."""
    failed = 0
    rows = []
    for name in files:
        try:
            if name == "-":
                raise LmzipError("standard input cannot be listed, because the index is at the end")
            rows.append(_describe(name))
        except (LmzipError, OSError) as error:
            failed = 1
            reason = (isinstance(error, OSError) and error.strerror) or error
            say(f"{name}: {reason}")
    if rows:
        print(f"{'compressed':>12} {'contents':>12} {'bits/byte':>9}  {'model':24} file")
    for row in rows:
        names = [archive["model"]["name"] for archive in row["archives"] if archive["model"]]
        if any(a["side"] and a["side"]["source"] == "given" for a in row["archives"]):
            names.append("needs --given")
        print(
            f"{row['archive_bytes']:>12} {row['content_bytes']:>12} "
            f"{_rate(row['archive_bytes'], row['content_bytes']):>9}  "
            f"{', '.join(dict.fromkeys(names)) or '-':24} {clean(row['file']).removesuffix('.lmz')}"
        )
    if len(rows) > 1:
        archive = sum(row["archive_bytes"] for row in rows)
        content = sum(row["content_bytes"] for row in rows)
        print(f"{archive:>12} {content:>12} {_rate(archive, content):>9}  {'':24} (total)")
    return failed


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FilePath())
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object for each file, one on each line."
)
@click.option(
    "--ledger",
    "with_ledger",
    is_flag=True,
    help="Also show the bit breakdown: every item of the file with its bits.",
)
@click.help_option("-h", "--help")
def info(files: tuple[str, ...], as_json: bool, with_ledger: bool) -> None:
    """Show what is inside archives, without decoding them."""
    failed = 0
    for name in files:
        try:
            found = _describe(name)
            if with_ledger:
                found["ledger"] = _ledger(name)
        except (LmzipError, OSError) as error:
            failed = 1
            reason = (isinstance(error, OSError) and error.strerror) or error
            say(f"{name}: {reason}")
            continue
        if as_json:
            print(json.dumps(found))
            continue
        rate = _rate(found["archive_bytes"], found["content_bytes"])
        blocks = ", ".join(f"{n} {kind}" for kind, n in found["blocks"].items() if n) or "none"
        print(f"{clean(name)}: {found['archive_bytes']} bytes, {rate} bits per byte")
        print(
            f"  contents     {found['content_bytes']} bytes in {len(found['archives'])} archive(s)"
        )
        print(f"  blocks       {blocks}")
        for archive in found["archives"]:
            model = archive["model"]
            if archive["content_hash"]:
                print(f"  checksum     {archive['content_hash']} (BLAKE2b-64 of the contents)")
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
            if archive["side"] is not None:
                print("\n".join(_side_lines(archive["side"])))
            if archive["tokens"]:
                more = archive["tokens_read"] > archive["tokens"]
                read = f"; the model reads {archive['tokens_read']}" if more else ""
                print(f"  work         {archive['tokens']} tokens{read}")
        if with_ledger:
            print("\n".join(_ledger_lines(found["ledger"])))
    sys.exit(failed)
