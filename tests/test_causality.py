"""Models whose bits would mean nothing are refused: no code, not all weights, no text."""

from __future__ import annotations

import json

import pytest

from lmzip.errors import CorruptError, ModelError, UnsupportedModelError
from lmzip.measure.causal import FloatScorer, load_float_model
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.text import Tokenizer, Vocabulary

from . import tiny


@pytest.fixture
def tokenizer():
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer.from_str(tiny.tokenizer_json())
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend)


def bert(**changes):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, bos_token_id=0, **changes,
    )  # fmt: skip
    return transformers.BertLMHeadModel(config)


def test_an_encoder_that_sees_both_sides_is_refused(tokenizer, tmp_path, lmzip):
    with pytest.raises(UnsupportedModelError, match="what comes after"):
        FloatScorer(bert(), tokenizer, name="bert")
    assert FloatScorer(bert(is_decoder=True), tokenizer, name="bert").vocab == 300
    folder = tmp_path / "bert"
    bert().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (tmp_path / "text").write_bytes(b"xqzjkw pvbnm")
    run = lmzip("measure", "text", "-m", "float:bert")
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"what comes after" in run.stderr and run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("place", ["one ahead", "the last"])
def test_a_model_that_peeks_at_one_input_is_refused(tokenizer, tiny_folder, place):
    import torch

    scorer = load_float_model(str(tiny_folder))
    model, forward = scorer._model, scorer._model.forward

    def peeking(ids, **options):
        out = forward(ids, **options)
        seen = ids.roll(-1, 1) if place == "one ahead" else ids[:, -1:].expand_as(ids)
        hint = torch.nn.functional.one_hot(seen, out.logits.shape[-1])
        out.logits = out.logits + 2.0 * hint
        return out

    model.forward = peeking
    with pytest.raises(UnsupportedModelError, match="what comes after"):
        FloatScorer(model, tokenizer, name="peeking")


def altered(folder, change, **config):
    """A checkpoint whose weights went through `change`."""
    from safetensors.numpy import load_file, save_file

    tiny.write_folder(folder, **config)
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


WRONG = {
    "no head": (lambda w: {k: v for k, v in w.items() if k != "lm_head.weight"}, False),
    "prefixed": (lambda w: {f"net.{k}": v for k, v in w.items()}, True),
    "too many": (lambda w: w | {"model.layers.0.self_attn.o_proj.bias": w["model.norm.weight"]},
                 True),
    "a head that is not tied": (
        lambda w: w | {"lm_head.weight": w["model.embed_tokens.weight"] + 1}, True),
    "a layer missing": (lambda w: {k: v for k, v in w.items() if ".1.mlp" not in k}, True),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_weights_that_are_missing_or_would_be_ignored(tmp_path, wrong):
    change, tied = WRONG[wrong]
    folder = altered(tmp_path / "x", change, tie_word_embeddings=tied)
    with pytest.raises((CorruptError, UnsupportedModelError)):
        build_pack(read_folder(folder, "x"))
    if wrong != "a head that is not tied":  # transformers ties it or not by what it finds
        with pytest.raises(ModelError):
            load_float_model(str(folder))


def test_what_is_no_weight_may_be_there(tmp_path):
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": "model.norm.weight",
             "lm_head.weight": "model.embed_tokens.weight"}  # fmt: skip
    folder = altered(tmp_path / "x", lambda w: w | {k: w[v].copy() for k, v in extra.items()})
    plain = tiny.write_folder(tmp_path / "y")
    packs = [build_pack(read_folder(path, "x")) for path in (folder, plain)]
    assert packs[0].identity == packs[1].identity


def test_models_add_says_what_is_wrong(lmzip, tmp_path):
    altered(tmp_path / "x", WRONG["no head"][0], tie_word_embeddings=False)
    run = lmzip("models", "add", "x", LMZIP_HOME=str(tmp_path / "home"))
    assert (run.returncode, run.stdout) == (1, b"")
    assert b"lm_head.weight is missing" in run.stderr
    assert lmzip("models", "info", "x", LMZIP_HOME=str(tmp_path / "home")).returncode == 1


def test_a_tokenizer_that_fails(tiny_folder, tiny_pack, monkeypatch):
    class Panic(BaseException):
        """As PyO3 raises it."""

    class Broken:
        is_fast = True
        bos_token_id = eos_token_id = 0

        def get_vocab(self):
            return {}

        def __call__(self, *args, **options):
            raise Panic("index out of bounds")

    scorer = load_float_model(str(tiny_folder))
    broken = FloatScorer(scorer._model, Broken(), name="broken")
    with pytest.raises(ModelError, match="index out of bounds"):
        broken.tokenize(b"text")
    vocabulary = Vocabulary(tiny_pack.tensors["tokens.offsets"], tiny_pack.tensors["tokens.bytes"])
    with pytest.raises(CorruptError, match="tokenizer"):
        Tokenizer(vocabulary, "{}").tokenize(b"text")

    class Failing:
        def encode(self, text, **options):
            raise Panic("no")

    own = Tokenizer(vocabulary, tiny_pack.tokenizer_json)
    own._backend = Failing()
    assert vocabulary.detokenize(own.tokenize(b"text")) == b"text"


def test_a_checkpoint_with_a_broken_tokenizer(tmp_path):
    folder = tiny.write_folder(tmp_path / "x")
    words = json.loads((folder / "tokenizer.json").read_text())
    words["model"]["vocab"] = None
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(UnsupportedModelError):
        build_pack(read_folder(folder, "x"))
    with pytest.raises(ModelError):
        load_float_model(str(folder))


def test_text_is_text(tiny_folder, tiny_model):
    """What spells a control token is letters, as for packs (and for whoever wrote the text)."""
    scorer = load_float_model(str(tiny_folder))
    text = b"a<|endoftext|>b <extra_0>"
    ids, starts = scorer.tokenize(text)
    assert 0 not in ids and len(ids) > 12
    assert b"".join(scorer.token_text(int(i)).encode() for i in ids) == text
    assert starts[-1] == len(text) - 1
    own = tiny_model.tokenizer.tokenize(text)
    assert len(own) > 12
