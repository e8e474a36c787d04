"""From a tokenizer's JSON to what decoding needs: the bytes of every token, total on all bytes."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from ..errors import UnsupportedModelError

__all__ = ["TokenTable", "token_table"]


@dataclasses.dataclass(frozen=True)
class TokenTable:
    """The vocabulary a pack carries.

    `token_bytes[i]` are the bytes token i stands for (empty: text never yields it). `copied_rows`
    lists, for tokens appended behind the checkpoint's vocabulary, the row whose weights they share.
    """

    token_bytes: list[bytes]
    suppressed: tuple[int, ...]
    copied_rows: tuple[int, ...]
    tokenizer_json: str


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: one character for every byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    rest = [byte for byte in range(256) if byte not in set(printable)]
    return alphabet | {chr(256 + i): byte for i, byte in enumerate(rest)}


def _has(node: Any, kind: str) -> bool:
    """Whether a (nested) tokenizer component of that type is present."""
    if isinstance(node, dict):
        return node.get("type") == kind or any(_has(v, kind) for v in node.values())
    return isinstance(node, list) and any(_has(v, kind) for v in node)


def token_table(tokenizer_json: str, vocab: int, bos: int) -> TokenTable:
    """The token table of a BPE tokenizer: byte-level (GPT-2's way) or with byte fallback.

    Bytes that no token stands for get the reserved special tokens, highest byte first; those still
    left are appended to the vocabulary and share the weights of the nearest byte's token. Raises
    UnsupportedModelError.
    """
    try:
        return _token_table(json.loads(tokenizer_json), vocab, bos)
    except (
        ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError,
    ) as error:  # fmt: skip
        raise UnsupportedModelError(
            f"the tokenizer's JSON is not as the tokenizers library has it "
            f"({type(error).__name__}: {error})"
        ) from None


def _token_table(tokenizer: dict[str, Any], vocab: int, bos: int) -> TokenTable:
    """See `token_table`."""
    model = tokenizer.get("model", {})
    if model.get("type", "BPE") != "BPE":
        raise UnsupportedModelError(f"tokenizer model {model.get('type')!r} is not supported")
    byte_level = _has(tokenizer.get("pre_tokenizer"), "ByteLevel")
    if not byte_level and not model.get("byte_fallback"):
        raise UnsupportedModelError("the tokenizer is neither byte-level nor has byte fallback")

    added = {int(e["id"]): e for e in tokenizer.get("added_tokens", ())}
    special = {i for i, entry in added.items() if entry.get("special", True)}
    table = [b""] * vocab
    alphabet = byte_alphabet()
    for token, i in model["vocab"].items():
        if i in special or not 0 <= i < vocab:
            continue
        if i in added:
            table[i] = token.encode()
        elif byte_level:
            if all(c in alphabet for c in token):
                table[i] = bytes(alphabet[c] for c in token)
        elif re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", token):
            table[i] = bytes([int(token[3:5], 16)])
        else:
            table[i] = token.replace("\u2581", " ").encode()
    for i, entry in added.items():
        if i not in special and 0 <= i < vocab:
            table[i] = entry["content"].encode()

    single = {t[0]: i for i, t in reversed(list(enumerate(table))) if len(t) == 1}
    missing = sorted(set(range(256)) - set(single), reverse=True)
    ends = re.compile(r"end_?of|begin_?of|im_start|im_end|eos|bos|pad|unk|^</?s>$", re.IGNORECASE)
    reserved = [
        i
        for i in sorted(special)
        if 0 <= i < vocab and i != bos and not ends.search(added[i]["content"])
    ]
    copied = []
    for byte, i in zip(missing, reserved, strict=False):
        table[i] = bytes([byte])
    for byte in missing[len(reserved) :]:
        if not single:
            raise UnsupportedModelError("the tokenizer has no single-byte tokens at all")
        copied.append(single[min(single, key=lambda b: (abs(b - byte), b))])
        table.append(bytes([byte]))
    suppressed = tuple(i for i, text in enumerate(table) if not text)
    return TokenTable(table, suppressed, tuple(copied), _plain_json(tokenizer))


def _plain_json(tokenizer: dict[str, Any]) -> str:
    """The tokenizer without special tokens, normalisers and automatic prefixes.

    What it yields is checked against the token table when compressing; this only makes it agree
    more often.
    """
    plain = dict(tokenizer)
    plain["added_tokens"] = []
    plain["post_processor"] = plain["decoder"] = None
    plain["truncation"] = plain["padding"] = None
    if not _has(tokenizer.get("pre_tokenizer"), "ByteLevel"):
        plain["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        plain["pre_tokenizer"] = None
    else:
        plain["normalizer"] = None
        plain["pre_tokenizer"] = _without_prefix_space(tokenizer["pre_tokenizer"])
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _without_prefix_space(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: False if key == "add_prefix_space" else _without_prefix_space(value)
            for key, value in node.items()
        }
    return [_without_prefix_space(v) for v in node] if isinstance(node, list) else node
