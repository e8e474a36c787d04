"""lmzcat, lmzgrep, lmzless and lmzdiff: what zcat and its relatives are for gzip.

Files that are no archives are taken as they are. Exit codes are those of the relatives: 2 for
trouble where grep and diff have a 1 of their own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .. import __version__
from ..codec import ArchiveReader
from ..errors import LmzipError
from ..files.standard import open_standard_streams
from ..format import MAGIC
from .greplike import GrepWords, UnsupportedOption, WordError, split_diff_words
from .inputs import STDIN, look_ahead, open_input, with_suffix
from .main import main, unwind_on_signals
from .notices import show_log
from .say import clean

if TYPE_CHECKING:
    from ..models.source import StoreModels

__all__ = ["Tool", "exit_code", "lmzcat", "lmzdiff", "lmzgrep", "lmzless"]

SUFFIX = ".lmz"
TROUBLE = 2
_BROKEN_PIPE = 128 + 13
_PIECE = 1 << 16

USAGES = {
    "lmzcat": """\
Usage: lmzcat [OPTION]... [FILE]...
Write the contents of archives to standard output.

OPTIONs are those of lmzip. With -f, files that are not archives are copied.
""",
    "lmzgrep": """\
Usage: lmzgrep [OPTION]... [-e] PATTERN [FILE]...
Search for PATTERN in the contents of archives, and in other files as they are.

OPTIONs are those of grep, except for -r, -R, -d, --include and --exclude.
Exit codes: 0 a line matched, 1 none did, 2 something failed.
""",
    "lmzless": """\
Usage: lmzless [OPTION]... [FILE]...
Page through the contents of archives, and of other files as they are.

OPTIONs are those of less.
""",
    "lmzdiff": """\
Usage: lmzdiff [OPTION]... FILE1 [FILE2]
Compare the contents of two files. Each may be an archive.

OPTIONs are those of diff. With one FILE, FILE.lmz is compared with FILE.
Exit codes: 0 the contents are the same, 1 they differ, 2 something failed.
""",
}


class Tool:
    """A program of its own: how it speaks, and what it reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._models: StoreModels | None = None

    def say(self, message: object) -> None:
        """One line on standard error."""
        print(f"{self.name}: {clean(message)}", file=sys.stderr)

    def answer(self, words: Sequence[str]) -> bool:
        """Whether the words ask for help or the version, which is then printed."""
        for word in words:
            if word == "--":
                return False
            if word == "--help":
                print(USAGES[self.name], end="")
                return True
            if word == "--version":
                print(f"{self.name} (lmzip) {__version__}")
                return True
        return False

    def program(self, name: str) -> str:
        """Where a program is. Raises LmzipError if there is none."""
        found = shutil.which(name)
        if found is None:
            raise LmzipError(f"the program {name} is not installed")
        return found

    def contents(self, name: str) -> Iterator[bytes]:
        """What is in a file, in pieces: of an archive the contents. Raises LmzipError, OSError."""
        with open_input(with_suffix(name, SUFFIX), archive=False, force=True) as file:
            source, archive = look_ahead(file, MAGIC)
            if archive:
                yield from ArchiveReader(source, self._open_models())
                return
            while data := source.read(_PIECE):
                yield data

    def _open_models(self) -> StoreModels:
        """The models, opened once for all files."""
        if self._models is None:
            from ..api import models_home
            from ..models.source import StoreModels
            from ..models.store import ModelStore

            offline = os.environ.get("LMZIP_OFFLINE", "").lower() in ("1", "true", "yes", "on", "t")
            threads = os.environ.get("LMZIP_THREADS", "")
            self._models = StoreModels(
                store=ModelStore(models_home(), offline=offline),
                threads=int(threads) if threads.isdecimal() else None,
                isa=os.environ.get("LMZIP_ISA"),
                notice=self.say,
            )
        return self._models


def _run(name: str) -> NoReturn:
    """Run a tool on the command line's words, and exit."""
    unwind_on_signals()
    open_standard_streams()
    tool = Tool(name)
    show_log(tool.say)
    sys.exit(exit_code(tool, sys.argv[1:]))


def exit_code(tool: Tool, words: list[str]) -> int:
    """The exit code of a tool's work on these words; trouble is one line and code 2."""
    try:
        return 0 if tool.answer(words) else _WORK[tool.name](tool, words)
    except KeyboardInterrupt:
        return 130
    except (LmzipError, WordError) as error:
        tool.say(error)
    except BrokenPipeError:
        return _BROKEN_PIPE
    except OSError as error:
        tool.say(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return TROUBLE


def lmzcat() -> NoReturn:
    """`lmzip -dc`."""
    if "--help" in sys.argv[1:]:
        print(USAGES["lmzcat"], end="")
        sys.exit(0)
    main(["-dc", *sys.argv[1:]])


def lmzgrep() -> NoReturn:
    """grep over the contents of archives."""
    _run("lmzgrep")


def _grep(tool: Tool, words: list[str]) -> int:
    try:
        given = GrepWords.parse(words)
    except UnsupportedOption as error:
        tool.say(error)
        return TROUBLE
    program = tool.program("grep")
    several = ["-H"] if len(given.files) > 1 else []
    failed, matched = False, False
    for name in given.files:
        label = "(standard input)" if name == STDIN else with_suffix(name, SUFFIX)
        command = [program, *several, f"--label={label}", *given.options, "--", "-"]
        try:
            pieces = tool.contents(name)
            first = next(pieces, b"")
            code = _feed(command, first, pieces)
        except (LmzipError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            tool.say(f"{label}: {reason}")
            failed = True
            continue
        if code >= 128:
            return code
        failed = failed or code > 1
        matched = matched or code == 0
        if matched and given.quiet:
            return 0
    return TROUBLE if failed else int(not matched)


def _feed(command: list[str], first: bytes, pieces: Iterator[bytes]) -> int:
    """Run a filter on the pieces; its exit code, 128 and more for signals.

    Raises what reading the pieces raises, once the filter has ended.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(first)
            for piece in pieces:
                process.stdin.write(piece)
        except BrokenPipeError:
            pass  # it has seen enough
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
    code = process.returncode
    return 128 - code if code < 0 else code


def lmzless() -> NoReturn:
    """less, with this program before it."""
    _run("lmzless")


def _less(tool: Tool, words: list[str]) -> int:
    program = tool.program("less")
    lmzip = f"{shlex.quote(sys.executable)} -m lmzip -dcfq -- %s"
    sys.stdout.flush()
    os.execve(program, [program, *words], os.environ | {"LESSOPEN": f"||-{lmzip}"})


def lmzdiff() -> NoReturn:
    """diff of the contents of archives."""
    _run("lmzdiff")


def _diff(tool: Tool, words: list[str]) -> int:
    options, files = split_diff_words(words)
    if len(files) == 1:
        name = files[0]
        plain = name.removesuffix(SUFFIX)
        files = [name, plain if plain != name else name + SUFFIX]
        os.stat(files[1])  # raises where it is not there: its archive is the first file
    if len(files) != 2:
        raise WordError("one or two files are needed; try 'lmzdiff --help'")
    program = tool.program("diff")
    with tempfile.TemporaryDirectory(prefix="lmzdiff-") as folder:
        paths, labels = [], []
        for number, name in enumerate(files):
            if name != STDIN and os.path.isdir(name):
                raise LmzipError(f"{name}: is a directory")
            path = Path(folder, str(number))
            try:
                with open(path, "wb") as out:
                    for piece in tool.contents(name):
                        out.write(piece)
            except LmzipError as error:
                raise LmzipError(f"{name}: {error}") from None
            paths.append(str(path))
            labels.append(f"--label={name}")
        return subprocess.run([program, *labels, *options, "--", *paths], check=False).returncode


_WORK: dict[str, Callable[[Tool, list[str]], int]] = {
    "lmzgrep": _grep,
    "lmzless": _less,
    "lmzdiff": _diff,
}
