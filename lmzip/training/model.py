"""The model in floating point: the exact engine's family, by Hugging Face's names of weights."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..engine.arithmetic import NGRAM_FACTORS, NGRAM_MIX
from .shape import Shape


class Norm(nn.Module):
    """RMSNorm over the last dimension, in binary32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)


class Linear(nn.Module):
    """A matrix [rows, columns] kept in binary32 and multiplied in the input's type."""

    def __init__(self, rows: int, columns: int, zero: bool = False) -> None:
        super().__init__()
        weight = torch.zeros(rows, columns)
        if not zero:
            weight.normal_(0.0, 1.0 / math.sqrt(columns))
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    """Grouped queries with norms on queries and keys, rotary positions, causal."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = shape.heads, shape.kv_heads, shape.head_width
        self.q_proj = Linear(self.heads * self.head, shape.width)
        self.k_proj = Linear(self.kv_heads * self.head, shape.width)
        self.v_proj = Linear(self.kv_heads * self.head, shape.width)
        self.o_proj = Linear(shape.width, self.heads * self.head, zero=True)
        self.q_norm = Norm(self.head, shape.norm_eps)
        self.k_norm = Norm(self.head, shape.norm_eps)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        batch, length, _ = x.shape
        weights: list[Tensor] = [self.q_proj.weight, self.k_proj.weight, self.v_proj.weight]
        qkv = F.linear(x, torch.cat(weights).to(x.dtype))
        qkv = qkv.view(batch, length, -1, self.head).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        q, k = rotate(self.q_norm(q), rope), rotate(self.k_norm(k), rope)
        y = attend(q, k, v, seen)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


_BOUND = 80.0
"""Scores and logits stay below; e to this is well inside binary32."""

QUERIES = 256
"""Queries that are handled at once on a CPU: keys behind the last of them cost nothing."""


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Causal attention of q [batch, heads, length, head] on k, v [batch, kv_heads, length, head].

    `seen` is 1 where a query (row) sees a key (column), else 0, [length, length].
    Written out for CPUs, where PyTorch's fused attention is slow backwards.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    batch, heads, length, head = q.shape
    groups = k.shape[1]
    q = (q * head**-0.5).view(batch * groups, heads // groups, length, head)
    k, v = k.reshape(-1, length, head), v.reshape(-1, length, head)
    out = []
    for start in range(0, length, QUERIES):
        end = min(start + QUERIES, length)
        part = q[:, :, start:end].reshape(len(q), -1, head)
        scores = torch.bmm(part, k[:, :end].transpose(1, 2)).view(*q.shape[:2], end - start, end)
        # Norms on queries and keys bound the scores: no maximum need be taken off.
        weights = torch.exp(scores.float().clamp(-_BOUND, _BOUND)) * seen[start:end, :end]
        total = weights.sum(-1, keepdim=True)
        sums = torch.bmm(weights.to(v.dtype).view(len(q), -1, end), v[:, :end])
        out.append((sums.view(*q.shape[:2], end - start, head).float() / total).to(v.dtype))
    return torch.cat(out, 2).view(batch, heads, length, head)


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on x [batch, heads, length, head], pairs (j, j + head / 2)."""
    cosine, sine = rope
    first, second = x.float().chunk(2, -1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(turned, -1).to(x.dtype)


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = Linear(shape.ffn_width, shape.width)
        self.up_proj = Linear(shape.ffn_width, shape.width)
        self.down_proj = Linear(shape.width, shape.ffn_width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and MLP, each behind a norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.width, shape.norm_eps)
        self.mlp = Mlp(shape)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], seen: Tensor, compute: torch.dtype
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x).to(compute), rope, seen).to(x.dtype)
        return x + self.mlp(self.post_attention_layernorm(x).to(compute)).to(x.dtype)


_WORD = 0xFFFFFFFF


def ngram_rows(tokens: Tensor, order: int, rows: int, bos: int = 0) -> Tensor:
    """The row of every token's n-gram in its table (NUMERICS.md, section 4), like `tokens`.

    `tokens` is [batch, length]; before its first token every sequence has start tokens.
    """
    key = torch.zeros_like(tokens)
    for back in range(order):
        earlier = F.pad(tokens, (back, 0), value=bos)[:, : tokens.shape[1]]
        key = (key + earlier * NGRAM_FACTORS[back]) & _WORD
    key = ((key ^ (key >> 15)) * NGRAM_MIX) & _WORD
    return (key * rows) >> 32


class NGrams(nn.Module):
    """Rows for hashed n-grams, joined and projected to the width by a matrix that starts at 0.

    The rows are looked up outside the compiled graph (`Model.rows`), as most get no gradient.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.orders, self.count, self.bos = shape.ngrams, shape.ngram_rows, shape.bos
        rows = torch.empty(len(shape.ngrams), shape.ngram_rows, shape.ngram_width)
        self.tables = nn.Parameter(rows.normal_(0.0, 0.02))
        self.proj = Linear(shape.width, len(shape.ngrams) * shape.ngram_width, zero=True)

    def index(self, tokens: Tensor) -> Tensor:
        """Rows of all tables as one list, [batch, length, orders]."""
        found = [
            ngram_rows(tokens, order, self.count, self.bos) + i * self.count
            for i, order in enumerate(self.orders)
        ]
        return torch.stack(found, -1)


class Model(nn.Module):
    """Tokens [batch, length] to final hidden states; `loss` adds the tied head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        nn.init.normal_(self.embed_tokens.weight, 0.0, 0.02)
        self.ngrams = NGrams(shape) if shape.ngrams else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.norm_eps)
        pairs = torch.arange(0, shape.head_width, 2, dtype=torch.float64) / shape.head_width
        angles = torch.outer(
            torch.arange(shape.context, dtype=torch.float64), shape.rope_theta**-pairs
        )
        self.cosine: Tensor
        self.sine: Tensor
        self.seen: Tensor
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        seen = torch.ones(shape.context, shape.context).tril()
        self.register_buffer("seen", seen, persistent=False)
        self.compute = torch.float32
        """The type of matrix products; the residual stream stays in binary32."""

    def rows(self, tokens: Tensor) -> Tensor | None:
        """The rows of the tokens' n-grams, [batch, length, orders * ngram_width]; or None."""
        if self.ngrams is None:
            return None
        tables = self.ngrams.tables.detach().flatten(0, 1)
        return tables[self.ngrams.index(tokens)].flatten(2)

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Final hidden states [batch, length, width]; `rows` as `self.rows` gives them."""
        length = tokens.shape[1]
        rope = (self.cosine[:length], self.sine[:length])
        seen = self.seen[:length, :length]
        x = self.embed_tokens(tokens)
        if self.ngrams is not None:
            rows = self.rows(tokens) if rows is None else rows
            assert rows is not None
            x = x + self.ngrams.proj(rows.to(self.compute)).to(x.dtype)
        for layer in self.layers:
            x = layer(x, rope, seen, self.compute)
        return self.norm(x).to(self.compute)

    def matrices(self) -> list[nn.Parameter]:
        """The hidden matrices: what Muon trains."""
        return [p for name, p in self.named_parameters() if p.ndim == 2 and "embed" not in name]

    def gains(self) -> list[nn.Parameter]:
        """The norms' gains."""
        return [p for p in self.parameters() if p.ndim == 1]

    def dense(self) -> list[nn.Parameter]:
        """All parameters but the n-grams' tables."""
        return [p for p in self.parameters() if p.ndim < 3]


CHUNK = 256
"""Tokens whose logits are made at once: they should stay in a cache."""


def _chunk_loss(
    x: Tensor, weight: Tensor, targets: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy in nats, and the probabilities, for x [chunk, width].

    Row i of `weight` stands for `counts[i]` rows like it.
    """
    logits = F.linear(x, weight).float().clamp(max=_BOUND)
    powers = torch.exp(logits) * counts
    total = powers.sum(-1, keepdim=True)
    picked = logits.gather(1, targets[:, None])
    return (torch.log(total) - picked).sum(), (powers * (1 / total)).to(x.dtype)


chunk_loss = _chunk_loss


class _HeadLoss(torch.autograd.Function):
    """Cross-entropy of a linear head; gradients are made with it, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        loss = x.new_zeros((), dtype=torch.float32)
        cast = weight.to(x.dtype)
        by_x = torch.empty_like(x)
        gradient = x.new_empty(len(x), len(weight))  # by the logits
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            more, gradient[part] = chunk_loss(x[part], cast, targets[part], counts)
            loss = loss + more
            rows = torch.arange(len(x[part]), device=x.device)
            gradient[part][rows, targets[part]] -= 1
            by_x[part] = gradient[part] @ cast
        by_weight = (x.T.contiguous() @ gradient).T.float()
        ctx.save_for_backward(by_x, by_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_x, by_weight = ctx.saved_tensors
        scale = gradients[0]
        return by_x * scale.to(by_x.dtype), by_weight * scale, None, None


def head_loss(
    hidden: Tensor, weight: Tensor, targets: Tensor, candidates: Tensor | None = None
) -> Tensor:
    """Summed cross-entropy in nats of hidden [batch, length, width] with a head [vocab, width].

    With `candidates`, tokens among which are all targets, only their rows are multiplied: each that
    is no target stands for as many of the rows left out as the others do, so that the sum of all
    exponentials is estimated without bias if those were drawn by chance.
    """
    flat, wanted = hidden.flatten(0, 1), targets.flatten()
    if candidates is None:
        counts = torch.ones(len(weight), device=weight.device)
        return _HeadLoss.apply(flat, weight, wanted, counts)
    place = torch.full((len(weight),), -1, device=weight.device)
    place[candidates] = torch.arange(len(candidates), device=weight.device)
    wanted = place[wanted]
    certain = torch.zeros(len(candidates), dtype=torch.bool, device=weight.device)
    certain[wanted] = True
    drawn = len(candidates) - int(certain.sum())
    share = (len(weight) - len(candidates) + drawn) / max(drawn, 1)
    counts = torch.where(certain, 1.0, share)
    return _HeadLoss.apply(flat, weight[candidates], wanted, counts)


def token_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of every token, [batch, length]; for evaluation."""
    flat, wanted = hidden.flatten(0, 1), targets.flatten()
    cast = weight.to(flat.dtype)
    losses = [
        F.cross_entropy(F.linear(x, cast).float(), y, reduction="none")
        for x, y in zip(flat.split(CHUNK), wanted.split(CHUNK), strict=True)
    ]
    return torch.cat(losses).view(targets.shape)


def best_type(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it fast, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32
