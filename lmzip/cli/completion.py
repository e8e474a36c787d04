"""`lmzip completion`: the scripts for shells, and the words that complete a command line."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, get_completion_class

__all__ = ["SHELLS", "complete_first", "completion", "completion_script"]

SHELLS = ("bash", "zsh", "fish")


def completion_script(shell: str) -> str:
    """The script for one of SHELLS; it asks the command itself for the words."""
    from .main import lmzip

    found = get_completion_class(shell)
    assert found is not None
    maker = found(lmzip, {}, "lmzip", "_LMZIP_COMPLETE")
    variables = maker.source_vars()
    return maker.source_template % variables + "\n"


def _files(incomplete: str) -> list[str]:
    """Files and folders whose names begin like that."""
    folder, start = os.path.split(incomplete)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return []
    found = [n for n in names if n.startswith(start) and (start or not n.startswith("."))]
    return [os.path.join(folder, name) for name in found]


def complete_first(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """A file's name; as the first word also a subcommand's."""
    parent, files = ctx.parent, [CompletionItem(incomplete, type="file")]
    if parent is None or not isinstance(parent.command, click.Group) or not _is_first(ctx):
        return files
    commands = [
        CompletionItem(name)
        for name in parent.command.list_commands(parent)
        if name != "code" and name.startswith(incomplete)
    ]
    names = _files(incomplete)
    if not incomplete:
        shown = [name + os.sep * os.path.isdir(name) for name in names]
        return commands + [CompletionItem(name) for name in shown]
    return files if names or not commands else commands


def _is_first(ctx: click.Context) -> bool:
    """Whether nothing stands before the word that is completed."""
    return not ctx.meta.get("lmzip.words")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.help_option("-h", "--help")
def completion(shell: str) -> None:
    """Print the script that completes lmzip's options, subcommands, models and files.

    To use it in the current shell only, type 'source <(lmzip completion bash)', the same with zsh,
    or 'lmzip completion fish | source'. The installed package puts the scripts where the shells
    look for them.
    """
    print(completion_script(shell), end="")
