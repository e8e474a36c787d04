"""A checkpoint to a Hugging Face folder, and that to an lmzip pack."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from . import config as configs
from .config import Config, Shape
from .tokenizer import START


def hub_config(shape: Shape) -> dict[str, Any]:
    """The config.json of that shape."""
    kind: dict[str, Any] = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    if shape.ngrams:
        sizes = {"ngram_rows": shape.ngram_rows, "ngram_width": shape.ngram_width}
        kind = {"model_type": "lmzip", "ngrams": list(shape.ngrams), **sizes}
    return {
        **kind,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "torch_dtype": "float32",
    }


def last_checkpoint(folder: Path) -> Path:
    """The finished model if there is one, else the newest checkpoint."""
    final = folder / "final.pt"
    found = [final] if final.exists() else sorted(folder.glob("step-*.pt"))
    if not found:
        raise FileNotFoundError(f"{folder.name}: no checkpoint")
    return found[-1]


def write_folder(shape: Shape, checkpoint: Path, tokenizer: Path, target: Path) -> None:
    """A Hugging Face folder: config.json, tokenizer.json, model.safetensors in binary32."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    for i, table in enumerate(state.pop("ngrams.tables", ())):
        state[f"ngrams.tables.{i}"] = table
    target.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value.float().contiguous() for name, value in state.items()}
    save_file(tensors, str(target / "model.safetensors"), {"format": "pt"})
    (target / "config.json").write_text(json.dumps(hub_config(shape), indent=1))
    shutil.copy(tokenizer, target / "tokenizer.json")
    special = {"bos_token": START, "eos_token": START, "tokenizer_class": "PreTrainedTokenizerFast"}
    (target / "tokenizer_config.json").write_text(json.dumps(special, indent=1))


def export(config: Config, work: Path, checkpoint: Path | None = None) -> Path:
    """Write the folder `<run>/export` and the pack `<run>/<name>.lmzpack`; returns the pack."""
    folder = work / config.name
    checkpoint = checkpoint or last_checkpoint(folder)
    notes = card(config, checkpoint, folder / "train.log")
    tokenizer = work / "tokenizer.json"
    return export_pack(config.name, config.shape, checkpoint, tokenizer, folder, notes)


def card(config: Config, checkpoint: Path, log: Path) -> dict[str, str]:
    """A pack's notes: what the configuration says, tokens, and the last measurement."""
    progress = torch.load(checkpoint, map_location="cpu", weights_only=True)["progress"]
    measured = [line for line in log.read_text("utf-8").splitlines() if "held-out" in line]
    notes = dict(config.card)
    notes["tokens"] = f"{progress['tokens'] / 1e6:.1f} M" + notes.pop("tokens before", "")
    if measured:
        groups = measured[-1].partition("bits/byte: ")[2].split()
        pairs = zip(groups[::2], groups[1::2], strict=True)
        notes["bits per byte"] = "of held-out texts: " + ", ".join(f"{n} {v}" for n, v in pairs)
    return notes


def export_pack(
    name: str,
    shape: Shape,
    checkpoint: Path,
    tokenizer: Path,
    target: Path,
    notes: dict[str, str] | None = None,
) -> Path:
    """Write `<target>/export` and `<target>/<name>.lmzpack`; returns the latter."""
    from lmzip.engine.reference import ReferenceEngine
    from lmzip.engine.selftest import selftest_digest
    from lmzip.models.checkpoint import read_folder
    from lmzip.models.convert import build_pack, write_pack

    write_folder(shape, checkpoint, tokenizer, target / "export")
    pack = build_pack(read_folder(target / "export", name))
    if notes is not None:
        pack = dataclasses.replace(pack, notes=notes)
    file = target / f"{name}.lmzpack"
    answer = selftest_digest(ReferenceEngine(pack))
    write_pack(dataclasses.replace(pack, selftest=answer), file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="default: final, or the newest")
    parser.add_argument("--work", type=Path, default=Path("build/training"))
    args = parser.parse_args()
    print(export(configs.load(args.config), args.work, args.checkpoint))


if __name__ == "__main__":
    main()
