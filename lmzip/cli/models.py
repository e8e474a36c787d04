"""`lmzip models`: list, pull, add, info, rm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FilePath, ModelName
from .progress import ModelBar
from .say import clean, say

if TYPE_CHECKING:
    from ..models.store import ModelStore

__all__ = ["models"]

_SQUEEZED_AT_ONCE = 20_000_000
"""Parameters of a model that is compressed just to say how short it is."""


def _store(offline: bool = False) -> ModelStore:
    from ..api import models_home
    from ..models.store import ModelStore

    return ModelStore(models_home(), offline=offline)


@click.group()
@click.help_option("-h", "--help")
def models() -> None:
    """List, fetch, convert and remove models."""


@models.command("list")
@click.help_option("-h", "--help")
def list_models() -> None:
    """Show installed and known models."""
    from ..models.registry import default_name, known_models

    installed = {model.name: model for model in _store().installed()}
    known = {model.name: model for model in known_models()}
    for name in [*known, *(name for name in installed if name not in known)]:
        entry = known.get(name)
        state = "not pulled"
        if name in installed:
            found = installed[name]
            state = f"{found.size_bytes / 1e6:.0f} MB" + (", built in" if found.embedded else "")
        about = entry.about if entry is not None else "added here"
        mark = "*" if name == default_name() else " "
        print(f"{mark} {clean(name):24} {state:>14}  {about}")
    print("(* is used when -m names none)")


@models.command()
@click.argument("name", type=ModelName())
@click.option("-f", "--force", is_flag=True, help="Fetch again even if it is there.")
@click.option("--offline", is_flag=True, envvar="LMZIP_OFFLINE", help="Never touch the network.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.help_option("-h", "--help")
def pull(name: str, force: bool, offline: bool, quiet: bool) -> None:
    """Fetch a known model and convert it."""
    pack = _store(offline).pull(name, force=force, progress=ModelBar(show=not quiet))
    if not quiet:
        print(f"{name}: identity {pack.identity.hex()}")


@models.command()
@click.argument("source", type=FilePath(path_type=Path))
@click.option("--name", help="Name of the new model; from SOURCE if not given.")
@click.option("-f", "--force", is_flag=True, help="Replace a model of that name.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.help_option("-h", "--help")
def add(source: Path, name: str | None, force: bool, quiet: bool) -> None:
    """Convert SOURCE: a GGUF file, or a folder with config.json, tokenizer.json, *.safetensors.

    A pack (*.lmzpack) is installed as it is.
    """
    base = source.resolve().name.removesuffix(".gguf").removesuffix(".lmzpack")
    chosen = name or base.lower()
    pack = _store().add(source, chosen, force=force, progress=ModelBar(show=not quiet))
    if not quiet:
        print(f"{chosen}: identity {pack.identity.hex()}")


@models.command("info")
@click.argument("name", type=ModelName())
@click.help_option("-h", "--help")
def model_info(name: str) -> None:
    """Show a model's shape, identity and licence; the hash of an installed one is checked."""
    from ..models.registry import known_models

    store = _store()
    known = {model.name: model for model in known_models()}
    if name in known and name not in {model.name for model in store.installed()}:
        entry = known[name]
        print(f"{name} (not pulled)")
        print(f"  about        {entry.about}")
        print(f"  licence      {entry.licence}")
        print(f"  source       {' '.join(entry.source.values())}")
        print(f"  identity     {entry.identity or 'not pinned'}")
        return
    pack = store.open(name)
    config = pack.config
    print(f"{name}")
    print(f"  identity     {pack.identity.hex()} (verified)")
    print(f"  parameters   {config.parameters():,} in {pack.size_bytes() / 1e6:.1f} MB")
    squeezed = store.squeezed_bytes(pack.identity, largest=_SQUEEZED_AT_ONCE)
    if squeezed is None:
        print(f"  squeezed     not known yet ('lmzip lab squeeze {name}')")
    else:
        print(f"  squeezed     {squeezed / 1e6:.3f} MB: what a decoder needs, compressed")
    print(
        f"  shape        {config.layers} layers, width {config.width}, "
        f"{config.heads}/{config.kv_heads} heads of {config.head_width}, "
        f"ffn {config.ffn_width}, {config.vocab} tokens"
    )
    print(f"  context      {config.context} tokens")
    for key, value in sorted(pack.notes.items()):
        print(f"  {clean(key):12} {clean(value)}")
    print(f"  file         {clean(pack.path)}")


@models.command("rm")
@click.argument("names", nargs=-1, required=True, type=ModelName())
@click.help_option("-h", "--help")
def remove(names: tuple[str, ...]) -> None:
    """Delete installed models."""
    from ..errors import LmzipError

    failed = 0
    for name in names:
        try:
            _store().remove(name)
        except LmzipError as error:
            failed = 1
            say(f"{error}")
        except OSError as error:
            failed = 1
            say(f"{name}: {error.strerror or error}")
    sys.exit(failed)
