"""Time that mixing and its coding take for a token, apart from the model's: predictions come first.

    python benchmarks/mixer.py [--model NAME] [--bytes N] [--streams N] FILE...

Microseconds with the calls from Python, one thread, best of some passes; streams in lockstep as by
default. Beside it stands the time of coding the same digits without mixing: it tells a slow hour
from a slow program. Tables are new in every pass, as in an archive. What was decoded is compared.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.codec import CodecModel
from lmzip.coder import new_decoder, new_encoder
from lmzip.engine import RADIX
from lmzip.mix import Mixer, table_bits
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore

WINDOW, SINKS, SLICE = 512, 4, 16

Freqs = NDArray[np.int32]
Tokens = NDArray[np.int64]
Steps = list[tuple[Freqs, Freqs, Tokens]]
"""Frequencies of the high digits, of the low ones, and the tokens, of every step."""


def predicted(model: CodecModel, ids: Tokens, streams: int) -> Steps:
    """The steps of a text in so many streams of one length."""
    length = len(ids) // streams
    rows = ids[: streams * length].reshape(streams, length).astype(np.int64)
    inputs = np.pad(rows[:, :-1], ((0, 0), (1, 0)), constant_values=model.engine.config.bos)
    cache = model.engine.new_cache(streams, WINDOW, SINKS, length)
    steps: Steps = []
    for start in range(0, length, SLICE):
        part = rows[:, start : start + SLICE]
        predictions = model.engine.forward(inputs[:, start : start + SLICE], cache)
        high = predictions.high().transpose(1, 0, 2).copy()
        low = predictions.low(part // RADIX).transpose(1, 0, 2).copy()
        steps += zip(high, low, np.ascontiguousarray(part.T), strict=True)
    return steps


def mixed(steps: Steps, mixer: Mixer) -> bytes:
    """Encode them with mixing."""
    encoder = new_encoder()
    for high, low, tokens in steps:
        digits = mixer.code_high(encoder, high, tokens // RADIX)
        mixer.code_low(encoder, low, digits, tokens)
    return encoder.finish()


def unmixed(steps: Steps, payload: bytes, mixer: Mixer) -> bool:
    """Decode what `mixed` wrote; whether it is right."""
    decoder = new_decoder(payload)
    right = True
    for high, low, tokens in steps:
        digits = mixer.code_high(decoder, high, None)
        right &= bool((mixer.code_low(decoder, low, digits, None) == tokens).all())
    return right


def plain(steps: Steps) -> bytes:
    """Encode them without mixing."""
    encoder = new_encoder()
    for high, low, tokens in steps:
        encoder.code(high, tokens // RADIX)
        encoder.code(low, tokens % RADIX)
    return encoder.finish()


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Of one call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="lmzip-3m", show_default=True)
@click.option("--bytes", "limit", default=150_000, show_default=True, help="Of each file.")
@click.option("--streams", default=32, show_default=True, help="In lockstep.")
@click.option("--passes", default=4, show_default=True)
def main(files: tuple[Path, ...], model: str, limit: int, streams: int, passes: int) -> None:
    """Print a Markdown table."""
    found = load_model(ModelStore(models_home()).open(model), tokenizing=True)
    print("| text | tokens | bytes | unmixed | encode, us a token | decode | without mixing |")
    print("|---|---|---|---|---|---|---|")
    for file in files:
        steps = predicted(found, found.tokenizer.tokenize(file.read_bytes()[:limit]), streams)
        tokens = sum(len(part) for _, _, part in steps)
        bits = table_bits(tokens, 19)
        payload = mixed(steps, found.new_mixer(streams, bits))
        if not unmixed(steps, payload, found.new_mixer(streams, bits)):
            sys.exit(f"{file}: decoding failed")
        best = np.full(3, np.inf)
        for _ in range(passes):
            mixers = [found.new_mixer(streams, bits) for _ in range(2)]
            spent = (
                seconds(mixed, steps, mixers[0]),
                seconds(unmixed, steps, payload, mixers[1]),
                seconds(plain, steps),
            )
            best = np.minimum(best, spent)
        encode, decode, alone = best * 1e6 / tokens
        print(
            f"| {file.name} | {tokens:,} | {len(payload):,} | {len(plain(steps)):,} "
            f"| {encode:.2f} | {decode:.2f} | {alone:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
