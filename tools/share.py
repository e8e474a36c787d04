"""Write the folder share/: manual pages, completions, the file type. `python -m tools.share`.

All of it is generated, so that it says what the program says; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from lmzip.cli.completion import completion_script
from lmzip.cli.manual import manual_pages
from lmzip.format import MAGIC

_MAGIC = "".join(rf"\x{byte:02x}" for byte in MAGIC)
SHARE = Path(__file__).parent.parent / "share"

MIME = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="application/x-lmzip">
    <comment>lmzip archive</comment>
    <generic-icon name="package-x-generic"/>
    <magic priority="60">
      <match type="string" offset="0" value="{_MAGIC}"/>
    </magic>
    <glob pattern="*.lmz"/>
  </mime-type>
  <mime-type type="application/x-lmzip-compressed-tar">
    <comment>tar archive (compressed by lmzip)</comment>
    <sub-class-of type="application/x-lmzip"/>
    <generic-icon name="package-x-generic"/>
    <glob pattern="*.tar.lmz"/>
  </mime-type>
</mime-info>
"""

FILE_MAGIC = f"""\
# lmzip archives (FORMAT.md): three bytes, then the version in the upper three bits of a fourth.
0	string	{_MAGIC}	lmzip compressed data
!:mime	application/x-lmzip
!:ext	lmz
>3	ubyte/32	x	\\b, format version %u
>3	ubyte&0x10	0x10	\\b, short
"""


def files() -> dict[str, str]:
    """Everything in the folder, by path."""
    pages = {f"man/man1/{name}": text for name, text in manual_pages().items()}
    return pages | {
        "bash-completion/completions/lmzip": completion_script("bash"),
        "zsh/site-functions/_lmzip": completion_script("zsh"),
        "fish/vendor_completions.d/lmzip.fish": completion_script("fish"),
        "mime/packages/lmzip.xml": MIME,
        "lmzip/magic": FILE_MAGIC,
    }


def main() -> None:
    """Write the files, and remove those that are no more."""
    made = files()
    for path, text in made.items():
        target = SHARE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    for path in SHARE.rglob("*"):
        if path.is_file() and str(path.relative_to(SHARE)) not in made:
            path.unlink()


if __name__ == "__main__":
    main()
