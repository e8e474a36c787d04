"""Against lm-evaluation-harness itself, where it is installed (`pip install lm-eval[hf]`)."""

from __future__ import annotations

import json

import pytest

from lmzip.measure import Ideal, find_documents, measure, pool
from lmzip.measure.causal import FloatScorer
from lmzip.measure.windows import protocol

from .test_scoring import TEXT

WINDOW = 48


def test_bits_per_byte_is_theirs(tiny_folder, tmp_path):
    lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    pytest.importorskip("accelerate", reason="lm-evaluation-harness needs accelerate")
    import tokenizers
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    backend = tokenizers.Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    # Documents shorter than a window, as long as one and two, a token longer, and of any length.
    text = TEXT.decode()
    texts = [text[:9], text[100:400], text[500:2200], text]
    ids = tokenizer(text[300:], add_special_tokens=False)["input_ids"]
    texts += [tokenizer.decode(ids[:n]) for n in (WINDOW, WINDOW + 1, 2 * WINDOW)]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    task = {
        "task": "ours",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(tmp_path / "c")},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    theirs = lm_eval.simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, max_length=WINDOW, batch_size=1),
        tasks=[task],
        bootstrap_iters=0,
    )["results"]["ours"]["bits_per_byte,none"]
    scorer = FloatScorer(model, tokenizer, name="tiny")
    method = Ideal(scorer, protocol("lm-eval"), WINDOW)
    ours = pool(measure(find_documents([str(rows)], field="text"), method))
    assert ours.bits_per_byte == pytest.approx(theirs, rel=1e-5)
