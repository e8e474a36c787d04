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
@click.option(
    "--known", is_flag=True, help="Show what can be pulled, with sizes, licences and levels."
)
@click.help_option("-h", "--help")
def list_models(known: bool) -> None:
    """Show installed and known models."""
    from ..models.registry import default_name, known_models

    if known:
        _list_known()
        return
    installed = {model.name: model for model in _store().installed()}
    entries = {model.name: model for model in known_models()}
    for name in [*entries, *(name for name in installed if name not in entries)]:
        entry = entries.get(name)
        state = "not pulled"
        if name in installed:
            found = installed[name]
            state = f"{found.size_bytes / 1e6:.0f} MB" + (", built in" if found.embedded else "")
        about = entry.about if entry is not None else "added here"
        mark = "*" if name == default_name() else " "
        print(f"{mark} {clean(name):24} {state:>14}  {about}")
    print("(* is the default model)")


def _list_known() -> None:
    from ..models.registry import known_models

    print(f"{'name':24} {'fetch':>9} {'pack':>9}  {'licence':12} {'levels':8} source")
    for model in known_models():
        parts = (model.download_bytes, model.pack_bytes)
        sizes = [_megabytes(s, model.parameters, n) for s, n in zip(parts, (2, 1), strict=True)]
        source = model.source.get("repository") or model.source.get("requirement") or "built in"
        print(
            f"{model.name:24} {sizes[0]:>9} {sizes[1]:>9}  {model.licence.split()[0]:12} "
            f"{model.levels:8} {source}"
        )
    print("(~ is an estimate: two bytes to fetch and one byte in the pack for each parameter)")


def _megabytes(size: int | None, parameters: int, bytes_each: int) -> str:
    """A measured size, or one reckoned from the number of parameters."""
    mark, size = ("~", parameters * bytes_each) if size is None else ("", size)
    return f"{mark}{size / 1e6:,.0f} MB"


@models.command()
@click.argument("name", type=ModelName())
@click.option(
    "--name", "as_name", metavar="NAME", help="Local name of a model that is pulled by an hf: name."
)
@click.option("-f", "--force", is_flag=True, help="Fetch again a model that is already there.")
@click.option("--offline", is_flag=True, envvar="LMZIP_OFFLINE", help="Do not use the network.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress.")
@click.help_option("-h", "--help")
def pull(name: str, as_name: str | None, force: bool, offline: bool, quiet: bool) -> None:
    """Fetch a model and convert it.

    NAME is a known model ('lmzip models list --known'), or any model of the Hugging Face hub whose
    family is supported: hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or hf:OWNER/NAME:FILE.gguf for one
    GGUF file of a repository. HF_TOKEN, HF_ENDPOINT and proxies are taken from the environment.
    """
    from ..models.hub import PREFIX

    store, progress = _store(offline), ModelBar(show=not quiet)
    if name.startswith(PREFIX):

        def notice(message: str) -> None:
            if not quiet:
                say(message)

        pack = store.pull_from_hub(name, as_name, force=force, progress=progress, notice=notice)
    elif as_name is not None:
        raise click.UsageError("--name can only be used with hf: names")
    else:
        pack = store.pull(name, force=force, progress=progress)
    if not quiet:
        print(f"{pack.name}: identity {pack.identity.hex()}")


@models.command()
@click.argument("source", type=FilePath(path_type=Path))
@click.option("--name", help="Name of the new model.  [default: from SOURCE]")
@click.option("-f", "--force", is_flag=True, help="Replace an installed model of that name.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress.")
@click.help_option("-h", "--help")
def add(source: Path, name: str | None, force: bool, quiet: bool) -> None:
    """Convert SOURCE into a model and install it.

    SOURCE is a GGUF file, or a folder with config.json, tokenizer.json and *.safetensors. A pack
    (*.lmzpack) is installed as it is.
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
    """Show a model's shape, identity and licence.

    The weights of an installed model are verified.
    """
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
        print(
            f"  squeezed     {squeezed / 1e6:.3f} MB, the compressed form of what a decoder needs"
        )
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
