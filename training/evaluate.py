"""Bits per byte: of the held-out texts, or of any file (`python -m training.evaluate`)."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

from lmzip.models.vocabulary import TokenTable, token_table
from lmzip.text.tokenizer import Tokenizer
from lmzip.text.vocabulary import Vocabulary
from lmzip.training import model as models
from lmzip.training.model import Model, token_loss

from . import config as configs

M = TypeVar("M")


@torch.no_grad()
def total_bits(model: Model, tokens: NDArray[np.int64], window: int) -> float:
    """Bits of `tokens` in disjoint windows of `window` tokens, the start token before each."""
    device = model.embed_tokens.weight.device
    bits = 0.0
    whole = len(tokens) // window * window
    pieces = [row[None] for row in tokens[:whole].reshape(-1, window)]
    if whole < len(tokens):
        pieces.append(tokens[None, whole:])
    for piece in pieces:
        targets = torch.from_numpy(np.ascontiguousarray(piece)).to(device)
        hidden = model(F.pad(targets[:, :-1], (1, 0)))
        losses = token_loss(hidden, model.embed_tokens.weight, targets)
        bits += float(losses.double().sum()) / math.log(2)
    return bits


def _token_table(tokenizer: Path) -> TokenTable:
    text = tokenizer.read_text("utf-8")
    return token_table(text, Backend.from_str(text).get_vocab_size(), 0)


def held_out_bits(
    model: M,
    work: Path,
    window: int,
    limit: int = 0,
    measure: Callable[[M, NDArray[np.int64], int], float] = total_bits,
) -> dict[str, float]:
    """Bits per byte of every group of the held-out texts; "all" weighs the groups alike.

    With a `limit`, of that many tokens of every file. `measure` is what gives a text's bits.
    """
    lengths = np.array([len(text) for text in _token_table(work / "tokenizer.json").token_bytes])
    bits: dict[str, float] = {}
    size: dict[str, int] = {}
    with np.load(work / "held_out.npz") as texts:
        for name in texts.files:
            group = name.split("/")[0]
            tokens = texts[name][: limit or None].astype(np.int64)
            bits[group] = bits.get(group, 0.0) + measure(model, tokens, window)
            size[group] = size.get(group, 0) + int(lengths[tokens].sum())
    result = {group: bits[group] / size[group] for group in bits}
    return {"all": sum(result.values()) / len(result), **result}


def file_tokens(path: Path, tokenizer: Path) -> NDArray[np.int64]:
    """A file's tokens as lmzip makes them."""
    table = _token_table(tokenizer)
    offsets = np.cumsum([0, *map(len, table.token_bytes)]).astype(np.uint32)
    joined = np.frombuffer(b"".join(table.token_bytes), np.uint8)
    return Tokenizer(Vocabulary(offsets, joined), table.tokenizer_json).tokenize(path.read_bytes())


def load(config: configs.Config, checkpoint: Path) -> Model:
    """The model of a checkpoint, in its processor's best type."""
    model = Model(config.shape)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    model.compute = models.best_type(torch.device("cpu"))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("files", type=Path, nargs="*", help="none: the held-out texts")
    parser.add_argument("--work", type=Path, default=Path("build/training"))
    parser.add_argument("--window", type=int, default=2048, help="in tokens")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load(configs.load(args.config), args.checkpoint)
    if not args.files:
        for name, value in held_out_bits(model, args.work, args.window).items():
            print(f"{name:14} {value:.4f}")
    for path in args.files:
        tokens = file_tokens(path, args.work / "tokenizer.json")
        size = path.stat().st_size
        bits = total_bits(model, tokens, args.window)
        print(
            f"{path.name}: {size} bytes, {len(tokens)} tokens, "
            f"{size / len(tokens):.3f} bytes/token, {bits / size:.4f} bits/byte",
            flush=True,
        )


if __name__ == "__main__":
    main()
