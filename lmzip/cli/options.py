"""Options that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

__all__ = [
    "F",
    "FilePath",
    "ModelName",
    "apply",
    "coding_options",
    "given_levels",
    "model_options",
    "models_options",
    "parse_size",
]

F = TypeVar("F", bound=Callable[..., Any])


class FilePath(click.Path):
    """A path, never an empty one.

    `-` is standard input or output where `standard` says so, and refused elsewhere. Whether a file
    may be read is found out when it is read: one that may not stops no others.
    """

    def __init__(self, *, standard: bool = False, **options: Any) -> None:
        super().__init__(readable=False, **options)
        self._standard = standard

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("a file name is empty", param, ctx)
        if os.fspath(value) == "-" and not self._standard:
            self.fail("- is not accepted as a standard stream here (./- names a file)", param, ctx)
        return super().convert(value, param, ctx)


class ModelName(click.types.StringParamType):
    """A name that is not empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).removeprefix("float:"):
            self.fail("a model's name is empty", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from ..api import models_home
        from ..models.registry import known_models
        from ..models.store import ModelStore

        names = [model.name for model in ModelStore(models_home()).installed()]
        names += [model.name for model in known_models()]
        return [CompletionItem(n) for n in dict.fromkeys(names) if n.startswith(incomplete)]


_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes of a size like 65536, 256k, 4M or 2GiB."""
    if value is None:
        return None
    text = value.strip().lower().removesuffix("b").removesuffix("i")
    unit = text[-1:] if text[-1:] in ("k", "m", "g") else ""
    number = text.removesuffix(unit) if unit else text
    if not number.isdecimal() or len(number) > 18:
        raise click.BadParameter(f"{value!r} is not a size (such as 262144, 256k or 4M)")
    return int(number) * _UNITS[unit]


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Seconds of a time like 90, 10m, 2h, 1d or none."""
    if value is None:
        return None
    text = value.strip().lower()
    if text == "none":
        return math.inf
    unit = text[-1:] if text[-1:] in _SECONDS else ""
    number = text.removesuffix(unit) if unit else text
    if not number.isdecimal() or len(number) > 12:
        raise click.BadParameter(f"{value!r} is not a time (such as 90s, 10m, 2h, 1d or none)")
    return float(int(number) * _SECONDS[unit])


def time_limit_option(function: F) -> F:
    """How long decoding may take, as estimated from headers."""
    return click.option(
        "--time-limit", metavar="TIME", callback=parse_time,
        help="Refuse to decompress an archive if that would take longer than TIME (90s, 10m, 2h, "
        "1d or none), as estimated from its header.  [default: 1d for generated tokens]",
    )(function)  # fmt: skip


def apply(options: list[Callable[[F], F]], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


_LEVELS = "lmzip.levels"


def _note_level(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Each level is a flag of its own, so that a command can know all that were given."""
    ctx.params.setdefault("level", None)
    if value:
        level = int(parameter.opts[0].removeprefix("-"))
        ctx.meta.setdefault(_LEVELS, {})[level] = None
        ctx.params["level"] = level
        ctx.set_parameter_source("level", ParameterSource.COMMANDLINE)


def given_levels() -> list[int]:
    """All different levels on the command line, in order; a command codes with the last."""
    return list(click.get_current_context().meta.get(_LEVELS, ()))


def _own_model(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The model; a level on the command line is asked for more plainly than one of LMZIP_MODEL."""
    source = ctx.get_parameter_source(str(parameter.name))
    if source is ParameterSource.ENVIRONMENT and ctx.meta.get(_LEVELS):
        return () if parameter.multiple else None
    return value


def coding_options(function: F) -> F:
    """How to cut and code when compressing."""
    return apply(
        [
            *(
                click.option(f"-{level}", f"level_{level}", is_flag=True, hidden=level > 1,
                             callback=_note_level, expose_value=False,
                             help="Compression level, -1 to -9; the table of levels is in lmzip "
                                  "--help.  [default: -3, or with -m alone a window of 1,024 "
                                  "tokens and streams of 4,096]")
                for level in range(1, 10)
            ),
            click.option("--window", type=int, metavar="TOKENS",
                         help="Let the model look back this many tokens."),
            click.option("--stream-length", type=int, metavar="TOKENS",
                         help="Cut the text into streams of this length. Longer streams "
                              "make smaller files that decode with less parallelism."),
            click.option("--block-size", metavar="SIZE", callback=parse_size,
                         help="Compress blocks of this many bytes, 16M at most."),
            click.option("--no-mix", is_flag=True,
                         help="Do not learn from the file while coding it."),
            click.option("--solid", is_flag=True,
                         help="Carry what was learned from block to block. The file gets "
                              "smaller, but a block can only be read after those before it."),
        ],
        function,
    )  # fmt: skip


def side_options(function: F) -> F:
    """Side information, and how to generate tokens."""
    return apply(
        [
            click.option("--given", metavar="FILE", multiple=True,
                         type=FilePath(exists=True, dir_okay=False),
                         help="Use FILE as side information: decompressing needs the same FILE. "
                              "The option may be repeated; the order matters."),
            click.option("--given-prefix", type=click.IntRange(0, 1 << 20), metavar="TOKENS",
                         help="Let the model read this many tokens from the end of the side "
                              "information before each stream; mixing always learns from all of "
                              "it.  [default: one window]"),
            click.option("--think", type=click.IntRange(1, 1 << 16), metavar="TOKENS",
                         help="Let the model generate this many tokens before it reads the text. "
                              "The decoder generates the same ones, so they cost no bits."),
            click.option("--think-every", type=click.IntRange(1, 1 << 24), metavar="TOKENS",
                         help="Generate again after every so many tokens of each stream."),
            click.option("--chains", type=click.IntRange(1, 256), metavar="K",
                         help="Generate K different token sequences and mix their predictions."),
            click.option("--temperature", metavar="T",
                         help="Generate at this temperature: 1, 1/2, 1/3 and so on, or 0 for the "
                              "likeliest tokens.  [default: 1]"),
            click.option("--seed", type=click.IntRange(0, (1 << 62) - 1), metavar="N",
                         help="Seed for the generated tokens.  [default: 0]"),
            click.option("--prompt", metavar="TEXT",
                         help="Let the model read TEXT before it generates; what follows "
                              "{think} in TEXT, it reads afterwards."),
        ],
        function,
    )  # fmt: skip


def model_options(function: F) -> F:
    """Which model, and how to run it."""
    option = click.option("-m", "--model", metavar="NAME", envvar="LMZIP_MODEL", type=ModelName(),
                          callback=_own_model,
                          help="Compress with this model (see 'lmzip models list').")  # fmt: skip
    return option(_running_options(function, "auto"))


def models_options(function: F) -> F:
    """Which models, and how to run them."""
    option = click.option("-m", "--model", metavar="NAME", multiple=True, envvar="LMZIP_MODEL",
                          type=ModelName(), callback=_own_model,
                          help="Use this model (see 'lmzip models list'); may be repeated."
                          )  # fmt: skip
    return option(_running_options(function, "cpu"))


def _running_options(function: F, device: str) -> F:
    return apply(
        [
            click.option("-T", "--threads", type=click.IntRange(0, 1024), metavar="N",
                         envvar="LMZIP_THREADS",
                         help="Use N threads.  [default: 0, one for each core]"),
            click.option("--engine", type=click.Choice(["auto", "native", "reference", "triton"]),
                         default="auto", show_default=True,
                         help="Run the model with this engine; the result is the same."),
            click.option("--isa", envvar="LMZIP_ISA", hidden=True),
            click.option("--device", default=device, show_default=True, metavar="DEVICE",
                         help="Run the model on cpu, cuda (all GPUs), cuda:N, or auto (a GPU if "
                              "there is one)."),
            click.option("--memory-limit", metavar="SIZE", callback=parse_size, default="4G",
                         show_default=True,
                         help="Refuse work that needs a larger cache than this (on a CPU)."),
            click.option("--offline", is_flag=True, envvar="LMZIP_OFFLINE",
                         help="Do not use the network."),
        ],
        function,
    )  # fmt: skip
