"""Compiles the kernels for an H100 or H200, which needs no GPU, and prints their instructions.

Run in a process of its own, without TRITON_INTERPRET: a JSON object, kernel -> PTX instructions.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

TYPES = {
    **dict.fromkeys(("q", "near", "far", "keys", "values", "table", "weight"), "*i8"),
    **dict.fromkeys(("tokens", "high", "belows", "numerators"), "*i64"),
    **dict.fromkeys(("streams", "position", "sums", "weights"), "*i32"),
    **dict.fromkeys(("rows", "columns", "vocab", "digits", "count", "window", "sinks"), "i32"),
    **dict.fromkeys(("ring", "slots", "splits", "pairs", "stride"), "i32"),
    **dict.fromkeys(("eps", "scale"), "fp32"),
    "coded": "*u8",
}
"""Types of the kernels' arguments by name; all others are pointers to binary32."""


def instructions(kernel: Any, warps: int, constants: dict[str, Any]) -> list[str]:
    """The distinct PTX instructions of a kernel, launched as `launch.py` does."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, aligned = {}, {}
    for place, name in enumerate(inspect.signature(kernel.fn).parameters):
        signature[name] = "constexpr" if name in constants else TYPES.get(name, "*fp32")
        if signature[name].startswith("*"):
            aligned[(place,)] = [["tt.divisibility", 16]]
    if kernel.__name__ in ("low_kernel", "frequencies_kernel"):
        signature["out"] = "*i32"
    compiled = triton.compile(
        ASTSource(kernel, signature, constexprs=constants, attrs=aligned),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": warps, "enable_fp_fusion": False},
    )
    found = re.findall(r"^\s+(?:@!?%p\d+ )?([a-z][a-z0-9_.:]+)", compiled.asm["ptx"], re.M)
    return sorted(set(found))


def main() -> None:
    """Print what SmolLM2-135M's kernels are made of."""
    from lmzip.engine.triton import attention, frequencies, heads, probe, products, rows

    row = {"D": 576, "WIDTH": 1024, "BLOCK": 64, "ROWS": 1}
    head = {"K": 576, "BM": 64, "BK": 64}
    tile = {"BIAS": True, "RESIDUAL": True, "BK": 128}
    shape = {"G": 3, "E": 64, "EP": 64}
    cache = shape | {"H": 9, "KV": 3, "BN": 32}
    split = cache | {"BM": 16, "SPAN": 256}
    without_queries = {name: value for name, value in split.items() if name != "H"}
    wanted = {
        "embed": (rows.embed_kernel, 4, row),
        "norm": (rows.norm_kernel, 4, row),
        "rotate": (rows.rotate_kernel, 4, row),
        "gate": (rows.gate_kernel, 4, {"D": 1536, "WIDTH": 2048, "BLOCK": 64, "ROWS": 1}),
        "product": (products.product_kernel, 8, tile | {"K": 576, "BM": 128, "BN": 128}),
        "product, few rows": (products.product_kernel, 4, tile | {"K": 1536, "BM": 16, "BN": 64}),
        "head_max": (products.head_max_kernel, 8, head),
        "head_sum": (products.head_sum_kernel, 8, head),
        "low": (products.low_kernel, 4, {"K": 576, "BK": 64}),
        "frequencies": (frequencies.frequencies_kernel, 4, {"N": 193, "SIZE": 256, "ROWS": 2}),
        "heads": (
            heads.heads_kernel, 4,
            {"H": 9, "KV": 3, "E": 64, "QK_NORM": True, "FAR": True, "HEADS": 16, "HALF": 32,
             "ROWS": 1},
        ),
        "attend": (attention.attend_kernel, 4, cache | {"BM": 64}),
        "split_max": (attention.split_max_kernel, 4, split),
        "split_sum": (attention.split_sum_kernel, 4, without_queries),
        "split_end": (attention.split_end_kernel, 4, shape | {"BM": 16}),
        "probe": (probe.probe_kernel, 4, {"SIZE": 1024}),
    }  # fmt: skip
    print(json.dumps({name: instructions(*what) for name, what in wanted.items()}))


if __name__ == "__main__":
    main()
