"""`lmzip schemes`: the cost of a file with generated tokens, by five coding schemes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .checks import refuse_options
from .options import FilePath, coding_options, model_options, side_options
from .say import clean

__all__ = ["schemes"]

_PAYLOAD_BYTES = 1024


@click.command("schemes")
@click.argument("file", type=FilePath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--payload",
    metavar="FILE",
    type=FilePath(exists=True, dir_okay=False, path_type=Path),
    help="File that scheme E carries in the bits it gets back.  [default: 1 kB of noise]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@side_options
@coding_options
@model_options
@click.help_option("-h", "--help")
def schemes(file: Path, **given: Any) -> None:
    """Show what FILE costs given tokens that the model generates, by coding scheme.

    \b
    A  one chain of generated tokens, which the decoder generates again
    B  a mixture of K such chains, weighted by how well they predict
    C  the best of K chains, and its number
    D  a chain that is sent
    E  D, where the choice of the chain carries the bits of another file

    The bits count T, the seed and, where a chain is chosen, its number. The prompt and the number
    of chains must be agreed on beforehand. D and E are counted in whole words of 32 bits, and E
    sends another chain than D.

    All schemes are codes: a decoder with the model and --given can decode FILE. D and E are coded
    and decoded here to verify that. FILE is one stream, without mixing and without a container.
    """
    from ..codec import ThoughtPlan
    from ..complexity.schemes import Situation, scheme_bits
    from ..text import best_splitting, side_tokens
    from .choices import chosen_model
    from .side import chosen_side, chosen_side_parameters

    refuse_options(("block_size", "no_mix", "solid"), "schemes code one stream, without mixing")
    data = file.read_bytes()
    if not data:
        raise UsageError(f"{file} is empty")
    thoughts = chosen_side_parameters(given).thoughts
    side = chosen_side(given)
    if thoughts is None or side is None:
        raise UsageError("--think is needed; it says how many tokens to generate")
    if thoughts.every:
        raise UsageError("--think-every can only be used for archives")
    model, parameters = chosen_model(given)
    window = parameters.window_for(model.engine.config.context)
    vocabulary, x = model.tokenizer.vocabulary, model.tokenizer.tokenize(data)
    if len(x) > parameters.stream_tokens:
        raise UsageError(
            f"{file} has {len(x):,} tokens; one stream has at most {parameters.stream_tokens:,}"
        )
    text = side.tail or data
    rule = best_splitting(vocabulary, text, model.tokenizer.tokenize(text))
    prefix = given["given_prefix"] if given["given_prefix"] is not None else window - 1
    known = side_tokens(vocabulary, side.tail, rule)
    plan = ThoughtPlan(
        thoughts.tokens, thoughts.chains, thoughts.temperature, thoughts.seed, 0,
        side_tokens(vocabulary, thoughts.before, rule),
        side_tokens(vocabulary, thoughts.behind, rule),
    )  # fmt: skip
    situation = Situation(
        model.engine, window, parameters.sinks, known[max(0, len(known) - prefix) :], plan
    )
    payload = given["payload"].read_bytes() if given["payload"] else _noise()
    found = scheme_bits(situation, x, situation.chains()[0], payload)
    if given["as_json"]:
        rows = [{"scheme": r.name, "bits": r.bits, "note": r.note} for r in found]
        print(json.dumps({"file": str(file), "bytes": len(data), "tokens": len(x), "by": rows}))
        return
    print(f"{clean(file)}: {len(data):,} bytes, {len(x):,} tokens; bits by scheme")
    for row in found:
        print(f"  {row.name:6}{row.bits:>12,.1f}  {row.note}")


def _noise() -> bytes:
    from ..codec.thoughts import Generator

    generator = Generator(0, 0)
    return b"".join(generator.draw().to_bytes(4, "little") for _ in range(_PAYLOAD_BYTES // 4))
