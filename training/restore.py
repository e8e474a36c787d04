"""A pack's integers to a checkpoint that training can go on from (`python -m training.restore`).

Rounding to 8 bits is all that was lost. With a tokenizer of its own, the new run's embedding takes
the rows of tokens that both have; every other token gets the mean of the old tokens it consists of.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor

from lmzip.engine.weights import Pack
from lmzip.models.vocabulary import token_table
from lmzip.training.model import Model
from lmzip.training.packs import float_weights

from . import config as configs


def transferred(rows: Tensor, old: Pack, tokenizer: Path) -> Tensor:
    """Rows of the embedding for another tokenizer's tokens."""
    text = tokenizer.read_text("utf-8")
    backend = Backend.from_str(text)
    table = token_table(text, backend.get_vocab_size(), 0)
    offsets = old.tensors["tokens.offsets"]
    joined = bytes(old.tensors["tokens.bytes"])
    known = {joined[a:b]: i for i, (a, b) in enumerate(itertools.pairwise(offsets))}
    merges = Backend.from_str(old.tokenizer_json)
    out = []
    for i, token in enumerate(table.token_bytes):
        if i == 0:
            out.append(rows[old.config.bos])
        elif token in known:
            out.append(rows[known[token]])
        else:
            whole = token.decode("utf-8", "ignore")
            ids = (
                merges.encode(whole, add_special_tokens=False).ids
                if whole.encode() == token
                else [known[token[j : j + 1]] for j in range(len(token))]
            )
            out.append(rows[ids].mean(0))
    return torch.stack(out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.restore", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/training"))
    args = parser.parse_args()
    config = configs.load(args.config)
    torch.manual_seed(config.schedule.seed)
    model, pack = Model(config.shape), Pack.open(args.pack)
    found = float_weights(pack)
    tokenizer = args.work / "tokenizer.json"
    found["embed_tokens.weight"] = transferred(found["embed_tokens.weight"], pack, tokenizer)
    missing, unexpected = model.load_state_dict(found, strict=False)
    if unexpected or any(not name.startswith("ngrams.") for name in missing):
        raise ValueError(f"the pack is of another shape: {missing} {unexpected}")
    target = args.work / config.name / "start.pt"
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, target)
    print(target)


if __name__ == "__main__":
    main()
