"""Every bit of a file by what it is for: the items sum to eight times its size."""

from __future__ import annotations

import dataclasses

from ..errors import CorruptError
from ..format import BlockHead
from .random_access import ArchiveIndex

__all__ = ["LedgerItem", "ledger"]


@dataclasses.dataclass(frozen=True)
class LedgerItem:
    """What a number of bits of a file is for."""

    archive: int
    """Which of the archives in the file, from 1."""
    name: str
    bits: int


def ledger(index: ArchiveIndex) -> list[LedgerItem]:
    """The items of a file, in order. Blocks are summed by what is in them."""
    items: list[LedgerItem] = []
    for number, archive in enumerate(index.archives):
        short = archive.header.short
        found = {name: len(data) for name, data in archive.header.parts().items()}
        for head in index.heads(number):
            for name, count in _block(head, short=short).items():
                found[name] = found.get(name, 0) + count
        if archive.trailer is not None:
            found |= {name: len(data) for name, data in archive.trailer.parts().items()}
        if sum(found.values()) != archive.archive_bytes:
            raise CorruptError("the index does not match the blocks")
        items += [LedgerItem(number + 1, name, 8 * count) for name, count in found.items() if count]
    return items


def _block(head: BlockHead, *, short: bool) -> dict[str, int]:
    """Bytes of a block by item."""
    return {
        f"payload, {head.kind.name.lower().replace('_', ' ')}": head.payload_bytes,
        "kinds, lengths and token counts of blocks": len(head.lengths()) + (not short),
        "checksum of everything" if short else "checksums of blocks": 4 if short else 8,
    }
