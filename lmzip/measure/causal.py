"""Any causal language model of the transformers library, in floating point: bits, not archives.

Float kernels add in whatever order suits them, so what they predict on one machine is not what
they predict on the next. Nothing here is ever coded; the numbers are ideal bits and called so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import (
    CorruptError,
    LmzipError,
    ModelError,
    ModelNotFoundError,
    UnsupportedModelError,
    UsageError,
)
from ..extras import how_to_install
from ..models.registry import known_models
from .causality import require_causal
from .scoring import Floats, Scores, Tokens

if TYPE_CHECKING:
    from ..models.checkpoint import Checkpoint

__all__ = ["DTYPES", "FloatScorer", "load_float_model"]

DTYPES = ("float32", "bfloat16", "float16")

_LOGIT_ROWS = 256
"""Rows of logits turned into bits at once."""


class FloatScorer:
    """A model and its tokenizer. See `Scorer`."""

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str, device: str = "cpu", model_bytes: int = 0
    ) -> None:
        """`model` is a transformers causal language model, `tokenizer` one of its tokenizers.

        `model_bytes` is the size of its files; 0: not known, that of the weights as they are held.
        """
        self._model, self._tokenizer, self._device = model.to(device).eval(), tokenizer, device
        config = model.config
        self.name = f"{name} ({str(model.dtype).removeprefix('torch.')})"
        self.vocab = int(config.get_text_config().vocab_size)
        self.context = _context(config.get_text_config())
        self.start = _start_token(config, tokenizer)
        self.parameters = int(model.num_parameters())
        embedding = model.get_input_embeddings().weight.numel()
        tied = model.get_output_embeddings() is None or (
            model.get_output_embeddings().weight is model.get_input_embeddings().weight
        )
        self.flops_per_token = 2.0 * (self.parameters - (0 if tied else embedding))
        self.model_bytes = model_bytes or sum(
            p.numel() * p.element_size() for p in model.parameters()
        )
        require_causal(self._logits, self.vocab, self.context, name, half=model.dtype.itemsize < 4)
        self.identity = _digest(self._model, tokenizer)
        self.settings: dict[str, int | str] = {
            "arithmetic": str(model.dtype),
            "device": self._model.device.type,
            "start": "none" if self.start is None else self.start,
        }

    def tokenize(self, data: bytes) -> tuple[Tokens, Tokens]:
        """Tokens [n] and the byte [n] at which each begins.

        Raises UsageError for what is not UTF-8, and for text that the tokenizer does not give back:
        bits of something else are not bits of the text.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"not UTF-8 (byte {error.start}); {self.name} reads nothing else"
            ) from None
        fast = bool(getattr(self._tokenizer, "is_fast", False))
        with _explained(f"the tokenizer of {self.name} fails on this text"):
            # Text is text: what spells a control token is read letter by letter, as packs read it.
            encoded = self._tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False,
                split_special_tokens=True,
            )  # fmt: skip
            ids = np.array(encoded["input_ids"], np.int64)
            back = self._tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False)
        control = set(getattr(self._tokenizer, "all_special_ids", ())) & set(ids.tolist())
        if control - {getattr(self._tokenizer, "unk_token_id", None)}:
            raise UsageError(f"the tokenizer of {self.name} reads a control token in this text")
        if back.removeprefix(" ") != text.removeprefix(" "):
            raise UsageError(f"the tokenizer of {self.name} does not give this text back")
        if not fast:
            lengths = [len(self.token_text(i).encode()) for i in ids.tolist()]
            return ids, np.minimum(np.cumsum([0, *lengths])[:-1], len(data))
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
        starts = np.concatenate([[0], np.cumsum(widths)])
        return ids, starts[np.array([a for a, _b in encoded["offset_mapping"]], np.int64)]

    def token_text(self, token: int) -> str:
        return str(self._tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def score(self, inputs: Tokens, targets: Tokens, top: int = 0) -> Scores:
        """See `Scorer`."""
        import torch

        logits = self._logits(inputs)
        batch, length, vocab = logits.shape
        rows, wanted = logits.reshape(-1, vocab), torch.from_numpy(targets.reshape(-1))
        bits = np.empty(batch * length)
        entropy, top_ids, top_pmf = [], [], []
        for first in range(0, len(rows), _LOGIT_ROWS):
            part = rows[first : first + _LOGIT_ROWS].float()
            nats = torch.logsumexp(part, -1)
            chosen = wanted[first : first + _LOGIT_ROWS].clamp(min=0).to(part.device)
            cost = nats - part.gather(-1, chosen[:, None])[:, 0]
            bits[first : first + len(part)] = cost.double().cpu().numpy() / math.log(2)
            if top:
                log_pmf = part - nats[:, None]
                pmf = log_pmf.exp()
                terms = torch.where(pmf > 0, pmf * log_pmf, 0.0)
                entropy.append(-terms.sum(-1).double().cpu().numpy() / math.log(2))
                best = pmf.topk(top, -1)
                top_ids.append(best.indices.cpu().numpy())
                top_pmf.append(best.values.double().cpu().numpy())
        bits = np.where(targets >= 0, bits.reshape(batch, length), np.nan)
        if not top:
            return Scores(bits)
        shape = (batch, length)
        return Scores(
            bits,
            np.concatenate(entropy).reshape(shape),
            np.concatenate(top_ids).reshape(*shape, top),
            np.concatenate(top_pmf).reshape(*shape, top),
        )

    def next_pmf(self, inputs: Tokens) -> Floats:
        """See `Scorer`."""
        pmf = self._logits(inputs)[:, -1].double().softmax(-1)
        return np.asarray(pmf.cpu().numpy())

    def _logits(self, inputs: Tokens) -> Any:
        import torch

        assert not self.context or inputs.shape[1] <= self.context
        try:
            with torch.inference_mode():
                ids = torch.from_numpy(inputs).to(self._device)
                return self._model(ids, use_cache=False).logits
        except (RuntimeError, IndexError) as error:  # no memory there, a token beyond the table
            raise ModelError(f"{self.name}: {_first_line(error)}") from None
        except (TypeError, ValueError, AttributeError, KeyError) as error:  # not this kind of model
            raise ModelError(f"{self.name}: cannot be run ({_first_line(error)})") from None


def _context(config: Any) -> int:
    """Inputs that the model was made for; 0 if it names no limit, as recurrent ones do."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def _start_token(config: Any, tokenizer: Any) -> int | None:
    """BOS, else EOS, of the tokenizer, else of the configuration; None if there is neither."""
    for holder in (tokenizer, config):
        for name in ("bos_token_id", "eos_token_id"):
            value = getattr(holder, name, None)
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, int):
                return value
    return None


_NO_MATTER = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Of a configuration: where it comes from, and a type that is the weights' own."""


def _digest(model: Any, tokenizer: Any) -> str:
    """SHA-256 over all that determines the predictions.

    The configuration, the tokenizer, the kind of device, and the weights' names, types and bytes.
    """
    import torch

    config = {k: v for k, v in model.config.to_dict().items() if k not in _NO_MATTER}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    parts = [config, type(tokenizer).__name__, words, model.device.type]
    digest = hashlib.sha256(b"float 3\0")
    digest.update(json.dumps(parts, sort_keys=True, default=str).encode() + b"\0")
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def _quiet_transformers() -> Any:
    import transformers

    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


def _from_checkpoint(checkpoint: Checkpoint, dtype: str) -> tuple[Any, Any]:
    """A checkpoint that lmzip reads itself, as transformers' model and tokenizer."""
    import tokenizers
    import torch

    transformers = _quiet_transformers()
    a = checkpoint.architecture
    config = transformers.AutoConfig.for_model(
        a.model_type, vocab_size=a.vocab, hidden_size=a.width, intermediate_size=a.ffn_width,
        num_hidden_layers=a.layers, num_attention_heads=a.heads, num_key_value_heads=a.kv_heads,
        head_dim=a.head_width, max_position_embeddings=a.context, rms_norm_eps=a.norm_eps,
        rope_theta=a.rope_theta, rope_scaling=a.rope_scaling, tie_word_embeddings=a.tied,
        bos_token_id=checkpoint.bos, eos_token_id=checkpoint.bos, use_sliding_window=False,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    own = {name for name, _ in model.named_parameters()}
    state = {n: torch.from_numpy(checkpoint.tensor(n).astype(np.float32)) for n in own}
    model.load_state_dict(state, strict=False)
    checkpoint.require_all_used()
    with _explained(f"{checkpoint.name}: the tokenizer cannot be made"):
        backend = tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    return model, tokenizer


def _from_transformers(source: str, dtype: str, offline: bool) -> tuple[Any, Any]:
    """A folder or a repository of the model hub. No pickle, no code from there."""
    import torch

    transformers = _quiet_transformers()
    options = {"local_files_only": offline or Path(source).is_dir(), "trust_remote_code": False}
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True,
            **options,
        )  # fmt: skip
    except Exception as error:  # the library raises many unrelated types
        raise ModelError(f"{source}: cannot be loaded ({_first_line(error)})") from None
    for kind, what in (
        ("missing_keys", "has no weights for"),
        ("mismatched_keys", "has weights of another shape for"),
        ("unexpected_keys", "has weights that this kind of model would ignore:"),
    ):
        names = sorted(str(name) for name in found.get(kind) or ())
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UnsupportedModelError(f"{source}: {what} {names[0]}{more}")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise ModelError(f"{source}: a model without a tokenizer ({_first_line(error)})") from None
    return model, tokenizer


def _file_bytes(source: str) -> int:
    """Size of the weights' files that transformers has loaded from there; 0 if not known."""
    folder = Path(source)
    if not folder.is_dir():
        from transformers.utils.hub import cached_file

        try:
            config = cached_file(source, "config.json", local_files_only=True)
        except OSError:
            return 0
        folder = Path(str(config)).parent
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    try:
        names = [whole.name]
        if not whole.is_file():
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        return sum((folder / name).stat().st_size for name in names)
    except (OSError, ValueError, KeyError):
        return 0


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Whatever a library raises in here (its Rust parts panic, too) as a ModelError."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError, LmzipError):
        raise
    except BaseException as error:
        raise ModelError(f"{what} ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def load_float_model(
    source: str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    offline: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> FloatScorer:
    """The model at `source`: a known model's name, a GGUF file, a folder, or a hub repository.

    Raises ModelError if it cannot be had or has no tokenizer, UsageError for a wrong type.
    """
    from ..models.fetch import fetch_checkpoint
    from ..models.gguf_checkpoint import read_gguf

    if dtype not in DTYPES:
        raise UsageError(f"no type {dtype!r} (there are: {', '.join(DTYPES)})")
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError:
        raise ModelError(how_to_install("transformers", "models in floating point")) from None
    if threads:
        torch.set_num_threads(threads)
    if not source:
        raise UsageError("the name of a model in floating point is empty")
    path = Path(source)
    known = {model.name: model for model in known_models()}
    model_bytes = 0
    try:
        if source.startswith((".", "/")) and not path.exists():
            raise ModelNotFoundError(f"{source}: no such file or folder")
        if path.is_file():
            model, tokenizer = _from_checkpoint(read_gguf(path, path.stem), dtype)
            model_bytes = path.stat().st_size
        elif source in known and not path.exists():
            if known[source].source["kind"] == "embedded":
                raise ModelNotFoundError(f"{source} exists as an exact pack only, not in float")
            if offline:
                raise ModelNotFoundError(f"{source} has to be fetched, and this is offline")
            with tempfile.TemporaryDirectory(prefix="lmzip-") as folder:
                report = progress or (lambda what, done, total: None)
                checkpoint = fetch_checkpoint(known[source], Path(folder), report)
                model, tokenizer = _from_checkpoint(checkpoint, dtype)
                model_bytes = sum(
                    p.stat().st_size
                    for p in Path(folder).rglob("*")
                    if p.suffix in (".gguf", ".safetensors")
                )
        elif not path.exists() and (source.startswith(("/", ".", "~")) or source.count("/") > 1):
            raise ModelNotFoundError(f"{source}: no such file or folder")
        else:
            model, tokenizer = _from_transformers(source, dtype, offline)
            model_bytes = _file_bytes(source)
    except (LmzipError, MemoryError):
        raise
    except (ValueError, RuntimeError) as error:
        raise CorruptError(f"{source}: {_first_line(error)}") from None
    name = path.name if path.exists() else source
    try:
        return FloatScorer(model, tokenizer, name=name, device=device, model_bytes=model_bytes)
    except (RuntimeError, AssertionError) as error:  # PyTorch's for a device that is not there
        raise UsageError(f"{device}: {_first_line(error)}") from None
