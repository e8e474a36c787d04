"""The layers of the package, read off its import statements; and what start-up must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lmzip

ROOT = Path(lmzip.__file__).parent

ALLOWED = {
    "errors": set(),
    "extras": {"errors"},
    "files": {"errors"},
    "rowfile": {"errors", "files"},
    "extension": {"_native"},
    "engine": {"errors", "extension"},
    "coder": {"errors", "extension"},
    "text": {"errors"},
    "format": {"errors", "files"},
    "mix": {"coder", "errors", "extension"},
    "codec": {"engine", "coder", "mix", "text", "format", "errors", "files"},
    "models": {
        "codec",
        "coder",
        "engine",
        "text",
        "format",
        "mix",
        "errors",
        "extension",
        "extras",
        "files",
    },
    "training": {"engine", "errors", "files", "models", "text"},
    "levels": {"codec", "errors"},
    "corpora": {"errors", "files"},
    "measure": {
        "extras",
        "codec",
        "corpora",
        "engine",
        "format",
        "models",
        "errors",
        "files",
        "rowfile",
    },
    "complexity": {
        "extras",
        "codec",
        "coder",
        "engine",
        "format",
        "text",
        "errors",
        "files",
        "rowfile",
    },
    "report": {"measure", "errors", "extras", "files"},
    "lab": {
        "codec",
        "coder",
        "complexity",
        "engine",
        "format",
        "measure",
        "models",
        "report",
        "text",
        "errors",
        "files",
        "rowfile",
    },
    "api": {"codec", "levels", "models", "errors"},
    "fileobject": {"api", "codec", "errors", "files"},
    "incremental": {"api", "codec"},
    "cli": {
        "extras",
        "api",
        "fileobject",
        "codec",
        "complexity",
        "corpora",
        "format",
        "lab",
        "levels",
        "measure",
        "models",
        "report",
        "text",
        "training",
        "errors",
        "files",
        "lmzip",
    },
    "lmzip": {"api", "codec", "errors", "fileobject", "incremental"},
    "__main__": {"cli"},
}

HEAVY = {
    "torch": {"engine", "lab", "measure", "training"},
    "triton": {"engine"},
    "transformers": {"measure"},
    "click": {"cli"},
    "tqdm": {"cli"},
    "constriction": {"coder", "complexity"},
    "tokenizers": {"measure", "text"},
    "zstandard": {"codec", "complexity", "measure"},
    "pyarrow": {"measure"},
    "scipy": {"complexity", "lab"},
    "datasets": {"measure"},
    "gguf": {"models"},
    "huggingface_hub": {"models"},
}


def layer_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "lmzip" if first == "__init__" else first


def imported(path: Path):
    """Layers and outside packages that a file imports."""
    module = ("lmzip", *path.relative_to(ROOT).with_suffix("").parts)
    package = module[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from absolute(name.name.split("."), [])
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if node.level:
                base = package[: len(package) - node.level + 1]
                yield from absolute([*base, *(node.module or "").split(".")], names)
            else:
                yield from absolute((node.module or "").split("."), names)


def absolute(parts, names):
    parts = [part for part in parts if part]
    if parts[0] != "lmzip":
        yield "outside", parts[0]
    elif len(parts) > 1:
        yield "inside", parts[1]
    else:
        for name in names:
            yield "inside", name if name in ALLOWED or name == "_native" else "lmzip"


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers(path):
    layer = layer_of(path)
    for kind, name in imported(path):
        if kind == "inside" and name != layer:
            assert name in ALLOWED[layer], f"{layer} must not import {name}"
        if kind == "outside" and name in HEAVY:
            assert layer in HEAVY[name], f"{name} belongs to {HEAVY[name]}"


def test_no_file_is_too_long():
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= 500, path


@pytest.mark.parametrize(
    "code",
    [
        "import lmzip",
        "import sys; sys.argv = ['lmzip', '--help']\n"
        "from lmzip.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass",
    ],
)
def test_start_up_loads_nothing_heavy(code):
    program = code + "\nimport sys; print('LOADED', *sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.splitlines()[-1].split())
    heavy = {"torch", "triton", "transformers", "numpy", "constriction", "tokenizers", "gguf"}
    assert not loaded & heavy


def test_public_names():
    assert sorted(lmzip.__all__) == lmzip.__all__
    for name in lmzip.__all__:
        assert getattr(lmzip, name) is not None
    with pytest.raises(AttributeError):
        lmzip.nonsense  # noqa: B018


def test_the_error_tree_is_as_drawn():
    from lmzip import errors

    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.LmzipError)
        assert name in errors.__doc__
    assert sorted(errors.__all__) == errors.__all__
