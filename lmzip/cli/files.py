"""`lmzip FILE...`: compress, decompress, test and list, one file after the other."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import click

from ..errors import (
    DeviceMemoryError,
    EngineError,
    LmzipError,
    ModelFetchError,
    ModelNotFoundError,
    UsageError,
)
from ..files import atomic_output, read_up_to, replaces
from ..files.sparse import SparseWriter
from ..files.standard import STANDARD_OUTPUT
from .ahead import Ahead
from .benchmark import run_benchmark
from .inputs import (
    STDIN,
    Skip,
    content_size,
    contents_inside,
    copy_all,
    has_changed,
    look_ahead,
    open_input,
    read_first_block,
    remove_input,
    require_removable,
    with_suffix,
)
from .progress import CodingBar, ModelBar
from .say import say
from .selection import Selection, select

if TYPE_CHECKING:
    from ..codec import CompressionSummary
    from ..format.fields import ByteSource
    from .ranges import ByteRange

__all__ = ["run", "standard_output"]

Coded: TypeAlias = "tuple[bytes, CompressionSummary] | bytes | LmzipError"
"""Of a small file: its archive and what was written, or its contents, or what is wrong with it."""

SUFFIX = ".lmz"


@dataclasses.dataclass(frozen=True)
class _Options:
    """What the user asked for."""

    mode: str
    to_stdout: bool
    output: str | None
    keep: bool
    force: bool
    verbose: int
    quiet: bool
    memory_limit: int
    time_limit: float | None
    byte_range: ByteRange | None
    output_dir: str | None


def run(files: Sequence[str], **given: Any) -> None:
    """Do what the command line says; exits with 1 (or 2, wrong usage) if any file failed."""
    options = _Options(**{f.name: given[f.name] for f in dataclasses.fields(_Options)})
    selection, failed = _select(files, options, given)
    files = selection.names
    if options.mode in ("decompress", "test", "list"):
        files = [with_suffix(name, SUFFIX) for name in files]
    if options.output is not None and (len(files) > 1 or given["recursive"]):
        raise click.UsageError("-o can only be used with one input file")
    if options.output is not None and options.to_stdout and options.output != STDIN:
        raise click.UsageError("-o and -c cannot be combined")
    if options.byte_range is not None:
        _require_sense_of_range(options, files)
    if given["benchmark"] is not None:
        sys.exit(max(failed, run_benchmark(files, given["benchmark"], given)))
    if options.mode == "list":
        from .info import list_archives

        sys.exit(max(failed, list_archives(files)))
    session = _Session(options, given, selection)
    ahead = session.ahead(files)
    for number, name in enumerate(files):
        try:
            session.one(name, ahead.take(number))
        except LmzipError as error:
            if options.mode == "compress" and _concerns_all(error):
                raise
            failed = max(failed, 2 if isinstance(error, UsageError) else 1)
            say(f"{_label(name)}: {error}")
        except BrokenPipeError:
            raise
        except OSError as error:
            if error is STANDARD_OUTPUT.failure:
                raise
            failed = max(failed, 1)
            say(f"{error.filename or _label(name)}: {error.strerror or error}")
    sys.exit(failed)


def _concerns_all(error: LmzipError) -> bool:
    """Whether compressing fails because of the chosen model or engine, whatever the file."""
    if isinstance(error, DeviceMemoryError):
        return False
    return isinstance(error, ModelNotFoundError | ModelFetchError | EngineError)


def _select(
    files: Sequence[str], options: _Options, given: dict[str, Any]
) -> tuple[Selection, int]:
    """The files to work on, and the exit code so far."""
    failed = 0

    def unreadable(error: OSError) -> None:
        nonlocal failed
        failed = 1
        say(f"{error.filename or 'error'}: {error.strerror or error}")

    if not files and given["files_from"] is None:
        if given["recursive"]:
            raise click.UsageError("-r needs the name of a folder")
        files = [STDIN]
    if files:
        _refuse_subcommand(files[0])
    if options.output_dir is not None:
        if options.to_stdout or options.output is not None or options.mode in ("test", "list"):
            raise click.UsageError("--output-dir cannot be combined with -c, -o, -t or -l")
        if not os.path.isdir(options.output_dir):
            raise click.UsageError(f"--output-dir: {options.output_dir} is not a folder")
    compressing = options.mode == "compress"
    return select(
        files, given, compressing=compressing, suffix=SUFFIX, unreadable=unreadable
    ), failed


def _require_sense_of_range(options: _Options, files: Sequence[str]) -> None:
    if options.mode != "decompress":
        raise click.UsageError("--range needs -d")
    if not options.keep:
        raise click.UsageError("--range and --rm cannot be combined")
    if not options.to_stdout and options.output is None and list(files) != [STDIN]:
        raise click.UsageError("--range needs -c or -o, which say where to write")


def _refuse_subcommand(first: str) -> None:
    """`lmzip -q measure FILE` means something else than to compress FILE."""
    parent = click.get_current_context().parent
    if parent is None or not isinstance(parent.command, click.Group):
        return
    if first in parent.command.list_commands(parent) and not os.path.lexists(first):
        raise click.UsageError(f"options go after the subcommand: 'lmzip {first} [OPTIONS]'")


def _label(name: str) -> str:
    return "(standard input)" if name == STDIN else name


class _Session:
    """The models are loaded once for all files."""

    def __init__(self, options: _Options, given: dict[str, Any], selection: Selection) -> None:
        from .choices import chosen_parameters, open_models
        from .side import THINKING, chosen_side, chosen_side_parameters

        self.options = options
        self._selection = selection
        self._written: dict[Path, str] = {}
        """Outputs so far, and what they were made from."""
        if options.mode != "compress":  # the archive says what else there is
            given |= dict.fromkeys(THINKING)
        self.side_parameters = chosen_side_parameters(given)
        self.side = chosen_side(given)
        used = [f"--{option}" for option in ("given", "think") if given[option]]
        self._side_options = " and ".join(used)
        self._side_files: tuple[str, ...] = given["given"]
        name, self.parameters = chosen_parameters(given, given["model"])
        self._model_bar = ModelBar(show=not options.quiet)
        self.models = open_models(given, name, progress=self._model_bar, notice=self._notice)

    def _notice(self, message: str) -> None:
        if not self.options.quiet:
            say(f"{message}")

    def ahead(self, names: Sequence[str]) -> Ahead[Coded]:
        """The results of small files, which are coded as a batch before their turn."""
        from ..codec import MANY_BYTES, gains_by_company

        def suits(data: bytes) -> bool:
            return self.options.mode == "compress" or gains_by_company(data)

        def wanted(name: str) -> bool:
            if self.options.byte_range is not None:
                return False
            try:
                if self.options.mode != "test":
                    self._target(name)
            except Skip:
                return False
            return name != STDIN

        return Ahead(names, largest=MANY_BYTES, wanted=wanted, code=self._code_many, suits=suits)

    def _is_given(self, name: str | Path) -> bool:
        """Whether the file is what is given, by whatever name."""
        return os.path.exists(name) and any(
            os.path.samefile(name, known) for known in self._side_files
        )

    def _code_many(self, contents: list[bytes]) -> Sequence[Coded]:
        from ..codec import compress_many, decompress_many

        limit = self.options.memory_limit
        size = sum(map(len, contents)) if self.options.mode == "compress" else None
        with CodingBar(f"{len(contents)} files", size, show=not self.options.quiet) as bar:
            if self.options.mode == "compress":
                return compress_many(
                    contents,
                    self.models,
                    self.parameters,
                    memory_limit=limit,
                    side=self.side,
                    side_parameters=self.side_parameters,
                    progress=bar,
                )
            return decompress_many(
                contents,
                self.models,
                memory_limit=limit,
                time_limit=self.options.time_limit,
                side=self.side,
                progress=bar,
            )

    def one(self, name: str, ahead: tuple[bytes, Coded] | None) -> None:
        """Compress, decompress or test one file, or write what came of it ahead of its turn."""
        options = self.options
        if not options.keep and name != STDIN and self._is_given(name):
            raise Skip("a --given file is not removed, because decoding needs it")
        source = open_input(name, archive=options.mode != "compress", force=options.force)
        try:
            if options.mode == "test":
                size = self._decompress(name, source, _Discard(), ahead)
                if options.verbose:
                    say(f"{_label(name)}: OK, {size} bytes", plain=True)
                return
            target = self._target(name)
            if target is None:
                out = standard_output(compressed=options.mode == "compress", force=options.force)
                self._code(name, source, out, ahead)
                return
            like = os.fstat(source.fileno()) if name != STDIN else None
            remove = not options.keep and like is not None and replaces(target)
            if remove:
                require_removable(name, source, force=options.force)
            may_skip = options.mode == "decompress" and replaces(target)
            self._prepare(name, target)
            with atomic_output(target, overwrite=options.force, like=like) as out:
                sparse = SparseWriter(out) if may_skip else None
                self._code(name, source, cast(BinaryIO, sparse or out), ahead)
                if sparse is not None:
                    sparse.finish()
            if remove and like is not None:
                remove_input(name, like, source)
            elif not options.keep and like is not None:
                self._notice(f"{_label(name)}: kept, because the output is not a regular file")
        finally:
            if name != STDIN:
                source.close()

    def _prepare(self, name: str, target: Path) -> None:
        """Make the folders under --output-dir. Raises Skip if the output is another input's."""
        if self.options.output_dir is None:
            return
        before = self._written.setdefault(target, name)
        if before != name:
            raise Skip(f"{target} was already made from {before}")
        target.parent.mkdir(parents=True, exist_ok=True)

    def _place(self, name: str) -> str:
        """The file's name, or where it would be under --output-dir."""
        folder = self.options.output_dir
        return name if folder is None else os.path.join(folder, self._selection.place(name))

    def _target(self, name: str) -> Path | None:
        """The output file; None for standard output."""
        options = self.options
        if options.to_stdout or options.output == STDIN:
            return None
        if options.output is not None:
            target = Path(options.output)
        elif name == STDIN:
            return None
        elif options.mode == "compress":
            if name.endswith(SUFFIX) and not options.force:
                raise Skip(f"already has suffix {SUFFIX} (-f compresses it anyway)")
            target = Path(self._place(name) + SUFFIX)
        elif name.endswith(SUFFIX) and len(Path(name).name) > len(SUFFIX):
            target = Path(self._place(name).removesuffix(SUFFIX))
        else:
            raise Skip(f"unknown suffix, expected {SUFFIX} (use -o or -c to say where to write)")
        if target.is_dir():
            raise Skip(f"{target} is a directory")
        if self._is_given(target):
            raise Skip(f"{target} is a --given file, which decoding needs")
        if target.is_file() and replaces(target) and not options.force:
            raise Skip(f"{target} already exists (-f overwrites it)")
        if target.exists() and name != STDIN and target.samefile(name):
            raise Skip("input and output are the same file")
        return target

    def _code(
        self, name: str, source: BinaryIO, out: BinaryIO, ahead: tuple[bytes, Coded] | None
    ) -> None:
        if self.options.mode == "compress":
            self._compress(name, source, out, ahead)
        else:
            size = self._decompress(name, source, out, ahead)
            if self.options.verbose:
                say(f"{_label(name)}: decompressed, {size} bytes", plain=True)
        out.flush()

    def _compress(
        self, name: str, source: BinaryIO, out: BinaryIO, ahead: tuple[bytes, Coded] | None
    ) -> None:
        made = _still_right(ahead, source)
        if isinstance(made, tuple):
            archive, summary = made
            out.write(archive)
        else:
            summary = self._compress_alone(name, source, out)
        self._report(name, summary)

    def _compress_alone(self, name: str, source: BinaryIO, out: BinaryIO) -> CompressionSummary:
        from ..codec import compress_stream

        before = os.fstat(source.fileno())
        size = content_size(source)
        contents, known = read_first_block(source, size, self.parameters.block_bytes)
        with CodingBar(_label(name), size, show=not self.options.quiet) as bar:
            summary = compress_stream(
                contents,
                out.write,
                self.models,
                self.parameters,
                size_bytes=known,
                memory_limit=self.options.memory_limit,
                side=self.side,
                side_parameters=self.side_parameters,
                progress=bar,
            )
        if size is not None and has_changed(before, source):
            self._notice(
                f"{_label(name)}: changed while it was read; the archive holds the "
                f"{summary.content_bytes:,} bytes that were read"
            )
        return summary

    def _report(self, name: str, summary: CompressionSummary) -> None:
        if self.side is not None and not any(kind.given for kind, n in summary.blocks.items() if n):
            self._notice(f"{_label(name)}: not smaller with {self._side_options}, so coded without")
        elif summary.side_tokens > summary.prefix_tokens:
            mixing = "; mixing learns from all of them" if self.parameters.mixing_bits else ""
            self._notice(
                f"{_label(name)}: before each stream, the model reads the last "
                f"{summary.prefix_tokens:,} of {summary.side_tokens:,} tokens of --given{mixing}"
            )
        if self.options.verbose:
            content = summary.content_bytes
            rate = 8 * summary.archive_bytes / content if content else 0.0
            kinds = ", ".join(
                f"{count} {kind.name.lower()}" for kind, count in summary.blocks.items() if count
            )
            say(
                f"{_label(name)}: {content} -> {summary.archive_bytes} bytes, "
                f"{rate:.3g} bits per byte ({kinds or 'empty'})",
                plain=True,
            )

    def _decompress(
        self,
        name: str,
        source: BinaryIO,
        out: BinaryIO | _Discard,
        ahead: tuple[bytes, Coded] | None,
    ) -> int:
        from ..codec import decompress_stream
        from ..format import MAGIC

        made = _still_right(ahead, source)
        if isinstance(made, LmzipError):
            raise made
        if isinstance(made, bytes):
            return out.write(made)
        if self.options.byte_range is not None:
            return self._decompress_range(source, out, self.options.byte_range)

        size = contents_inside(source) if sys.stderr.isatty() else None
        whole: ByteSource = source
        if self.options.force and self.options.to_stdout:
            whole, archive = look_ahead(source, MAGIC)
            if not archive:
                return copy_all(whole, out)
        with CodingBar(_label(name), size, show=not self.options.quiet) as bar:
            return decompress_stream(
                whole,
                out.write,
                self.models,
                memory_limit=self.options.memory_limit,
                time_limit=self.options.time_limit,
                side=self.side,
                progress=bar,
            )

    def _decompress_range(
        self, source: BinaryIO, out: BinaryIO | _Discard, wanted: ByteRange
    ) -> int:
        """Write a range of the contents; bytes written."""
        from ..codec import ArchiveIndex, BlockReader, TimeBudget

        if not source.seekable():
            raise UsageError("--range needs a file, not a pipe, because the index is at the end")
        index = ArchiveIndex(source)
        time = TimeBudget(self.options.time_limit)
        reader = BlockReader(index, self.models, self.options.memory_limit, self.side, time=time)
        start, end = wanted.within(index.content_bytes)
        for piece in reader.range(start, end):
            out.write(piece)
        return end - start


class _Discard:
    """Where tested contents go."""

    def write(self, data: bytes) -> int:
        return len(data)


def _still_right(ahead: tuple[bytes, Coded] | None, source: BinaryIO) -> Coded | None:
    """What came of a file ahead of its turn, unless it has changed since."""
    if ahead is None:
        return None
    data, made = ahead
    if read_up_to(source, len(data) + 1) == data:
        return made
    source.seek(0)
    return None


def standard_output(*, compressed: bool, force: bool) -> BinaryIO:
    """Standard output for bytes; UsageError if it is closed, or a terminal and they are no text."""
    if sys.stdout is None or STANDARD_OUTPUT.absent:
        raise UsageError("standard output is closed")
    if compressed and sys.stdout.isatty() and not force:
        raise UsageError("compressed data is not written to a terminal (-f writes it anyway)")
    return sys.stdout.buffer
