"""Makes the golden model: `python -m tests.golden.make`. Only to change the model on purpose.

A Llama of 0.2 M parameters, trained for a minute on the prose of this repository, so that small
tests have a model that really predicts. The pack is committed; archives made with it must decode
for ever.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.selftest import selftest_digest
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack, write_pack

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STEPS, BATCH, LENGTH = 500, 16, 128


def corpus() -> str:
    """The repository's own prose."""
    paths = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("lmzip/**/*.py"))]
    return "\n".join(path.read_text("utf-8") for path in paths)


def train(folder: Path) -> None:
    """Write a trained checkpoint as Hugging Face lays it out."""
    torch.manual_seed(0)
    text = corpus()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - {"Ą", "ÿ", "þ"})
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<extra_0>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    ids = np.array(tokenizer.encode(text).ids)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        starts = rng.integers(0, len(ids) - LENGTH, BATCH)
        batch = np.stack([ids[s : s + LENGTH] for s in starts])
        batch[:, 0] = 0
        x = torch.from_numpy(batch)
        loss = model(input_ids=x, labels=x).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config.to_dict()))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder))
        pack = build_pack(read_folder(Path(folder), "golden-tiny"))
        pack.notes.update(licence="Apache-2.0", source="tests/golden/make.py")
        import dataclasses

        pack = dataclasses.replace(pack, selftest=selftest_digest(ReferenceEngine(pack)))
        write_pack(pack, HERE / "golden-tiny.lmzpack")
        print(pack.identity.hex(), pack.size_bytes())


if __name__ == "__main__":
    main()
