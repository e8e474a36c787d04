"""Every bit of a file by what it is for: the items sum to eight times its size."""

from __future__ import annotations

import dataclasses

from ..format import Block, Header, SideReference, Trailer, compact_cost
from ..format.fields import pack_varint
from .random_access import ArchiveIndex, Frame

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
    for number, frame in enumerate(index.frames, 1):
        found = _header(frame.header, frame.trailer.header_bytes)
        for position in _block_positions(index, frame):
            _frame, block, _start = index.read_block(position)
            for name, count in _block(block, frame.header).items():
                found[name] = found.get(name, 0) + count
        found |= _trailer(frame.trailer)
        assert sum(found.values()) == frame.trailer.frame_bytes
        items += [LedgerItem(number, name, 8 * count) for name, count in found.items() if count]
    return items


def _block_positions(index: ArchiveIndex, frame: Frame) -> list[int]:
    positions, position = [], index.content_start(frame)
    for size, _total in frame.trailer.blocks:
        positions.append(position)
        position += size
    return positions


def _header(header: Header, total: int) -> dict[str, int]:
    """Bytes of a header by item."""
    size = 0 if header.size_bytes is None else len(pack_varint(header.size_bytes))
    items = {
        "magic, version and flags": 6,
        "size of the contents": size,
        "model and how it is used": 0,
        "side information: where from, length, hash": 0,
        "side information: splitting, prefix": 0,
        "thoughts: recipe and checksum": 0,
        "checksum of the header": 0 if header.short else 4,
    }
    if header.side is not None:
        side, model = header.side, header.model is not None
        alone = len(_without_thoughts(side).pack(model=False, short=header.short))
        plain = len(_without_thoughts(side).pack(model=model, short=header.short))
        items["side information: where from, length, hash"] = alone
        items["side information: splitting, prefix"] = plain - alone
        items["thoughts: recipe and checksum"] = (
            len(side.pack(model=model, short=header.short)) - plain
        )
    # What versions wrote in it differs; it is what is left.
    items["model and how it is used"] = total - sum(items.values())
    return items


def _without_thoughts(side: SideReference) -> SideReference:
    return dataclasses.replace(side, thoughts=None)


def _block(block: Block, header: Header) -> dict[str, int]:
    """Bytes of a block by item."""
    payload = len(block.payload)
    fields = compact_cost(block) - 4 if header.compact else len(block.pack()) - payload - 8
    return {
        f"payload, {block.kind.name.lower().replace('_', ' ')}": payload,
        "kinds, lengths and token counts of blocks": fields,
        "checksums of blocks": 4 if header.compact else 8,
    }


def _trailer(trailer: Trailer) -> dict[str, int]:
    total = len(trailer.pack())
    if trailer.compact:
        return {"length and end mark": total}
    digest = len(trailer.content_hash)
    end = 5 if trailer.short else 12
    return {
        "index": total - digest - end,
        "hash of the contents": digest,
        "checksum, length and end mark of the index": end,
    }
