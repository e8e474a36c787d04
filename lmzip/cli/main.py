"""The `lmzip` command.

Exit codes: 0 success, 1 something failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import LmzipError, UsageError
from ..extras import extra_of, how_to_install
from ..files.standard import STANDARD_OUTPUT, open_standard_streams
from .benchmark import benchmark_words, parse_levels
from .completion import complete_first
from .notices import show_log
from .options import FilePath, coding_options, model_options, side_options, time_limit_option
from .ranges import parse_range
from .say import clean, say

__all__ = ["lmzip", "main", "unwind_on_signals"]

_EPILOG = """\b
Levels: bits per byte of alice29.txt (gzip -9 needs 2.85, xz -9e 2.55) and kB/s of compression on
two slow cores with no other work. Decompression of larger files takes 1 to 1.5 times as long at -1
to -3, and at least twice as long at -4 to -9. SmolLM2-135M is smollm2-135m-instruct.
  -1  lmzip-3m      1.51  89        -4  SmolLM2-135M  1.14  5.1      -7  SmolLM2-135M  1.09  3.4
  -2  lmzip-3m      1.49  96        -5  SmolLM2-135M  1.11  4.5      -8  SmolLM2-135M  1.08  2.6
  -3  lmzip-3m      1.49  84        -6  SmolLM2-135M  1.10  4.5      -9  SmolLM2-135M  1.08  2.3

\b
Subcommands (see 'lmzip COMMAND --help'):
  models      manage models: list, pull, add, info, rm
  info        contents and settings of an archive
  measure     bits per byte of files under models
  compare     models and other compressors in one table
  corpora     manage standard texts to measure on: list, get, verify, make
  pair        two files in one archive, the second given the first
  complexity  how much information two files share, in bits
  distance    distances between documents, as a matrix and a tree
  train       fine-tune or train a model on your own texts
  schemes     the cost of a file with generated tokens, by coding scheme
  scaling     conditional bits by model size and by generated tokens
  lab         experiments on knowledge, memory and scaling
  completion  print the completion script for bash, zsh or fish

\b
Environment (options on the command line take precedence):
  LMZIP_MODEL    same as --model           LMZIP_HOME     folder of models and sets of texts
  LMZIP_THREADS  same as --threads         LMZIP_CORPORA  folder with standard texts in eval/
  LMZIP_OFFLINE  1 is --offline            LMZIP_ISA      instruction set: scalar, avx2, ...
  LMZIP_LEVEL    1 to 9, as -1 to -9       LMZIP_OPT      default options, such as '-9 --solid'

\b
Exit codes: 0 success, 1 something failed, 2 wrong usage, 130 interrupted.
"""


_SUBCOMMANDS = (
    "models", "info", "measure", "compare", "corpora", "pair", "complexity", "distance", "schemes",
    "scaling", "train", "lab", "completion",
)  # fmt: skip
"""Modules of this package, each with the command of its name."""


class _Lmzip(click.Group):
    """`lmzip FILE...` codes files; `lmzip models ...` and the like are subcommands.

    A file that is called like a subcommand can be given as ./models.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = len(args)
        if not args or args[0] not in self.list_commands(ctx):
            args = ["code", *_standing_options(), *benchmark_words(args)]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *_SUBCOMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command; a subcommand's module is imported when it is called for."""
        if name in _SUBCOMMANDS:
            command: click.Command = getattr(import_module(f".{name}", __package__), name)
            return command
        return super().get_command(ctx, name)


_WORDS = "lmzip.words"
"""How many words stand on the command line."""


def _standing_options() -> list[str]:
    """The options that LMZIP_OPT holds. Raises click's UsageError if it holds anything else."""
    text = os.environ.get("LMZIP_OPT", "")
    try:
        words = benchmark_words(shlex.split(text))
        context = click.Context(code, info_name="lmzip")
        values, _left, _order = code.make_parser(context).parse_args(list(words))
    except (ValueError, click.UsageError) as error:
        reason = error.format_message() if isinstance(error, click.UsageError) else error
        raise click.UsageError(f"LMZIP_OPT: {reason}") from None
    files = values.get("files")
    if (isinstance(files, tuple) and files) or "--" in words:
        raise click.UsageError("LMZIP_OPT: only options are allowed, no files")
    return words


def _standing_level(options: dict[str, Any], context: click.Context) -> int | None:
    """The level: that of the command line, or LMZIP_LEVEL unless -m stands there. Raises click's
    UsageError."""
    text = os.environ.get("LMZIP_LEVEL")
    if options["level"] is not None or not text:
        level: int | None = options["level"]
        return level
    if text not in map(str, range(1, 10)):
        raise click.UsageError(f"LMZIP_LEVEL: {text!r} is not a level from 1 to 9")
    if context.get_parameter_source("model") is _COMMAND_LINE:
        return None
    return int(text)


class _Code(click.Command):
    """The command behind plain `lmzip`."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("lmzip", "[OPTIONS] [FILE]...")


@click.group(cls=_Lmzip, add_help_option=False)
def lmzip() -> None:
    """Lossless text compression with language models."""


@lmzip.command("code", cls=_Code, hidden=True, epilog=_EPILOG)
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=FilePath(standard=True),
    shell_complete=complete_first,
)
@click.option(
    "-z", "--compress", "mode", flag_value="compress", default=True, help="Compress (the default)."
)
@click.option("-d", "--decompress", "mode", flag_value="decompress", help="Decompress.")
@click.option("-t", "--test", "mode", flag_value="test", help="Check archives by decoding them.")
@click.option("-l", "--list", "mode", flag_value="list", help="List archives without decoding.")
@click.option("-c", "--stdout", "to_stdout", is_flag=True, help="Write to standard output.")
@click.option("-o", "--output", metavar="FILE", type=FilePath(standard=True), help="Write to FILE.")
@click.option(
    "-k/ ",
    "--keep/--rm",
    "keep",
    default=True,
    help="Keep the input files (the default), or remove them.",
)
@click.option(
    "--range",
    "byte_range",
    metavar="START[:LENGTH]",
    callback=parse_range,
    help="With -d: write only these bytes of the contents, such as 1M:64k; -500 means the last 500 "
    "bytes. Blocks outside the range are not decoded.",
)
@click.option(
    "-f",
    "--force",
    is_flag=True,
    help="Overwrite files, and write to a terminal. With -dc, copy files that are not archives.",
)
@click.option(
    "-r", "--recursive", is_flag=True, help="Work on the files in folders and their subfolders."
)
@click.option(
    "--output-dir",
    metavar="DIR",
    type=FilePath(),
    help="Write the outputs into DIR. With -r, they keep their subfolders.",
)
@click.option(
    "--exclude-compressed",
    is_flag=True,
    help="Leave out files with the suffix of a compressed format: .gz, .zip, .jpg and others.",
)
@click.option(
    "--files-from",
    metavar="LIST",
    type=FilePath(standard=True),
    help="Also work on the files that LIST names, one on each line; - is standard input.",
)
@click.option("-0", "--null", is_flag=True, help="The names in LIST end in NUL bytes.")
@click.option(
    "--benchmark",
    metavar="[LEVELS]",
    callback=parse_levels,
    help="Measure sizes and speeds of levels on the files. The short form is -b[LEVELS], such as "
    "-b1-3 or -b1,5.",
)
@click.option(
    "--rsyncable",
    is_flag=True,
    help="Choose block boundaries by the text, so that a small change in a file changes only a "
    "block or two of its archive.",
)
@click.option("-v", "--verbose", count=True, help="Report what was done.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@coding_options
@side_options
@click.option(
    "--given-always",
    is_flag=True,
    help="Use --given and --think even where the file is smaller without them.",
)
@model_options
@time_limit_option
@click.version_option(
    __version__, "-V", "--version", prog_name="lmzip", message="%(prog)s %(version)s"
)
@click.help_option("-h", "--help")
def code(files: tuple[str, ...], **options: Any) -> None:
    """Compress or decompress FILEs with language models.

    FILE becomes FILE.lmz, and FILE.lmz becomes FILE. With no FILE, or when FILE is -, standard
    input goes to standard output. Input files are kept. If FILE does not exist, -d FILE
    decompresses FILE.lmz.
    """
    context = click.get_current_context()
    options["level"] = _standing_level(options, context)
    if not files and not context.meta[_WORDS] and sys.stdin is not None and sys.stdin.isatty():
        click.echo(context.get_help())
        return
    from .files import run

    run(files, **options)


_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
_AT_ONCE = 1.0
"""Seconds in which a second signal is an echo of the first: what unwinds is cleaning up."""


def unwind_on_signals() -> None:
    """A polite kill unwinds like Ctrl-C, so that temporary files go."""
    last = -_AT_ONCE

    def unwind(number: int, frame: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _AT_ONCE:
            return
        last = now
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Whoever started us may want a signal ignored, as nohup does.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, unwind)


def _message(error: click.ClickException) -> str:
    """One line; of a command that only has subcommands, its help."""
    message, context = clean(error.format_message()), getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    if context is not None and parameter is not None and parameter.envvar:
        source = context.get_parameter_source(parameter.name)
        if source is click.core.ParameterSource.ENVIRONMENT:
            message = f"{parameter.envvar}: {clean(error.message)}"
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message()
    if error.exit_code != 2:
        return f"lmzip: {message}"
    command = context.command_path if context is not None else "lmzip"
    command = command.removesuffix(f" {code.name}")
    return f"lmzip: {message.removesuffix('.')}; try '{command} --help'"


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, or these words, and exit."""
    unwind_on_signals()
    open_standard_streams()
    show_log(lambda message: say(f"{message}"))
    try:
        code = _finish(_run(words))
    except KeyboardInterrupt:
        code = 130
    finally:
        STANDARD_OUTPUT.give_up()
    sys.exit(code)


def _finish(code: int) -> int:
    """The exit code, once all that was printed is written; it is never 0 if something was not."""
    output = STANDARD_OUTPUT
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    if output.failure is not None and output.used and not output.given_up:
        # Whoever read our output may have left; nobody is there to be told.
        if not isinstance(output.failure, BrokenPipeError):
            say(f"{output.name}: {output.failure.strerror}")
        code = code or 1
    return code


def _run(words: Sequence[str] | None) -> int:
    """The exit code; says what went wrong."""
    code = 1
    try:
        result = lmzip.main(
            None if words is None else list(words), prog_name="lmzip", standalone_mode=False
        )
        code = result if isinstance(result, int) else 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except click.ClickException as error:
        print(_message(error), file=sys.stderr)
        code = error.exit_code
    except UsageError as error:
        say(f"{error}")
        code = 2
    except LmzipError as error:
        say(f"{error}")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if extra_of(missing) is None:
            raise
        say(how_to_install(missing))
        code = 2
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        code = 130
    except BrokenPipeError:
        pass  # as below, in _finish
    except OSError as error:
        if error is STANDARD_OUTPUT.failure:
            return code  # _finish says it
        say(f"{error.filename or 'error'}: {error.strerror or error}")
    except MemoryError:
        say("not enough memory")
    except RuntimeError as error:
        if "thread" not in str(error):  # the system has no more of them
            raise
        say(f"{error}")
    return code
