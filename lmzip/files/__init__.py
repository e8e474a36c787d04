"""Files without losses: whole writes, whole reads, outputs that appear whole or not at all."""

from .checked import flush_all, read_up_to, write_all
from .output import append_line, atomic_output, replaces, shared_mode
from .source import Source

__all__ = [
    "Source",
    "append_line",
    "atomic_output",
    "flush_all",
    "read_up_to",
    "replaces",
    "shared_mode",
    "write_all",
]
