"""Manual pages in troff's language, from click's commands: what --help says, for man(1)."""

from __future__ import annotations

import re

import click

from .. import __version__

__all__ = ["manual_pages"]

_BARE = "\b"
"""What stands before a paragraph whose lines stay as they are."""


def manual_pages() -> dict[str, str]:
    """The page of `lmzip`, of each subcommand, and of the small tools, by file name."""
    from .main import code, lmzip
    from .tools import USAGES

    group = click.Context(lmzip, info_name="lmzip")
    names = [name for name in lmzip.list_commands(group) if name != code.name]
    pages = {"lmzip.1": _page(code, "lmzip", [f"lmzip-{name}" for name in names])}
    for name in names:
        command = lmzip.get_command(group, name)
        assert command is not None
        pages[f"lmzip-{name}.1"] = _page(command, f"lmzip {name}", ["lmzip"])
    for name, usage in USAGES.items():
        pages[f"{name}.1"] = _tool_page(name, usage)
    return pages


def _escaped(text: str) -> str:
    """The text, no part of it a command of troff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _head(title: str, summary: str) -> list[str]:
    name = title.replace(" ", "-")
    return [
        f'.TH "{name.upper()}" "1" "" "lmzip {__version__}" "lmzip"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(summary)}",
    ]


def _summary(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split()).replace(_BARE, "")
    return text.rstrip(".:").split(". ")[0] or "a command of lmzip"


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
        kept = paragraph.lstrip("\n").startswith(_BARE)
        body = paragraph.replace(_BARE, "").strip("\n")
        if kept:
            lines += [".PP", ".nf", _escaped(body), ".fi"]
        else:
            lines += [".PP", _escaped(" ".join(body.split()))]
    return lines


def _usage(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path)
    pieces = command.collect_usage_pieces(context)
    return " ".join([path, *pieces])


def _options(command: click.Command, path: str) -> list[str]:
    context, lines = click.Context(command, info_name=path), []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            names, text = record
            lines += [".TP", f"\\fB{_escaped(names)}\\fR", _escaped(" ".join(text.split()))]
    return lines


def _page(command: click.Command, path: str, others: list[str]) -> str:
    lines = [
        *_head(path, _summary(command)),
        ".SH SYNOPSIS",
        f"\\fB{_escaped(_usage(command, path))}\\fR",
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    if options := _options(command, path):
        lines += [".SH OPTIONS", *options]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for name in command.list_commands(click.Context(command)):
            below = command.commands[name]
            lines += [f".SS {_escaped(_usage(below, f'{path} {name}'))}"]
            lines += [*_paragraphs(below.help or ""), *_options(below, f"{path} {name}")]
    if command.epilog:
        lines += [".SH NOTES", *_paragraphs(command.epilog)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_escaped(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def _tool_page(name: str, usage: str) -> str:
    synopsis, _, rest = usage.partition("\n")
    summary, _, more = rest.partition("\n\n")
    lines = [
        *_head(name, " ".join(summary.split()).rstrip(".")),
        ".SH SYNOPSIS",
        f"\\fB{_escaped(synopsis.removeprefix('Usage: '))}\\fR",
        ".SH DESCRIPTION",
        *_paragraphs(rest if more else summary),
        ".SH SEE ALSO",
        "\\fBlmzip\\fR(1)",
    ]
    return "\n".join(lines) + "\n"
