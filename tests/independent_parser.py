"""A parser of archives written from FORMAT.md alone: no line of the program, standard library only.

It knows headers, blocks, trailers and short archives, and verifies what can be verified without a
model. Payloads are left as they are.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "FORMAT.md"
END_MARK = bytes.fromhex("5A4D4C89")


class Invalid(Exception):
    """What the document calls an error."""


def parameter_sets():
    """The rows of the document's table, by number."""
    rows = re.findall(r"^\| (\d+) \|((?: [\d,]+ \|){7})$", DOCUMENT.read_text("utf-8"), re.M)
    return {
        int(number): [int(field.replace(",", "")) for field in fields.strip(" |").split("|")]
        for number, fields in rows
    }


SETS = parameter_sets()


def need(condition, message):
    if not condition:
        raise Invalid(message)


class Cursor:
    def __init__(self, data, position):
        self.data, self.position = data, position

    def take(self, count):
        need(self.position + count <= len(self.data), "the file ends before the archive does")
        taken = self.data[self.position : self.position + count]
        self.position += count
        return taken

    def integer(self, count):
        return int.from_bytes(self.take(count), "little")

    def varint(self, low, high):
        value = shift = 0
        while True:
            need(shift < 63, "a varint is too long")
            byte = self.integer(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                need(byte or shift == 7, "a varint has a superfluous byte")
                need(low <= value <= high, "a value is outside its limits")
                return value


def model_section(cursor):
    first = cursor.integer(1)
    model = {"identity": cursor.take(4), "name": ""}
    if first & 128:
        model["name"] = cursor.take(cursor.integer(1)).decode("utf-8", "replace")
    names = (
        "numerics",
        "window",
        "sinks",
        "stream_tokens",
        "streams_at_once",
        "mixing",
        "mixing_bits",
    )
    number = first & 127
    if number:
        need(number in SETS, "an unknown parameter set")
        return model | dict(zip(names, SETS[number], strict=True))
    limits = (0, 2**30 - 1), (1, 2**20), (0, 1024), (1, 2**24), (0, 2**16), (0, 2**30 - 1)
    values = [cursor.varint(low, high) for low, high in limits]
    values.append(cursor.integer(1) if values[5] else 0)
    need(values[5] == 0 or 8 <= values[6] <= 24, "impossible table bits")
    return model | dict(zip(names, values, strict=True))


def side_section(cursor, modelled):
    first = cursor.integer(1)
    source, rule, thinks = first & 3, first >> 2 & 3, first >> 4 & 1
    need(first < 32 and source < 3, "an unknown source")
    need(rule in ((1, 2) if modelled else (0,)), "an unknown rule of splitting")
    need(modelled or not thinks, "thoughts without a model")
    side = {
        "source": source,
        "splitting": rule,
        "length_bytes": 0,
        "digest": b"",
        "prefix_tokens": 0,
    }
    if source == 2:
        side["length_bytes"] = cursor.varint(1, 2**62 - 1)
        side["digest"] = cursor.take(4)
    if modelled:
        side["prefix_tokens"] = cursor.varint(0, 2**20)
    side["thoughts"] = None
    if thinks:
        limits = {
            "tokens": (1, 2**16),
            "chains": (1, 256),
            "temperature": (0, 16),
            "seed": (0, 2**62 - 1),
            "every": (0, 2**24),
        }
        side["thoughts"] = {name: cursor.varint(*limit) for name, limit in limits.items()}
        side["thoughts"]["before"] = cursor.take(cursor.varint(0, 2**14))
        side["thoughts"]["behind"] = cursor.take(cursor.varint(0, 2**14))
        side["thoughts"]["crc"] = cursor.integer(4)
    return side


def lengths(cursor, kind, low, high):
    content = cursor.varint(low, high)
    payload = content if kind == 1 else cursor.varint(0, content)
    tokens = cursor.varint(1, content) if kind in (3, 4) else 0
    return content, payload, tokens


def parse_archive(data, start):
    """The archive that begins at a position of a file."""
    cursor = Cursor(data, start)
    need(cursor.take(3) == bytes.fromhex("894C4D"), "no magic")
    form = cursor.integer(1)
    need(form >> 5 == 1, "an unknown version")
    if form & 16:
        return short_archive(cursor, start, form & 7, form >> 3 & 1)
    archive = {"start": start, "short": False, "solid": bool(form & 8), "model": None, "side": None}
    archive["size"] = cursor.varint(0, 2**62 - 1) if form & 2 else None
    if form & 1:
        archive["model"] = model_section(cursor)
    if form & 4:
        archive["side"] = side_section(cursor, form & 1 == 1)
    header = data[start : cursor.position]
    need(cursor.integer(4) == zlib.crc32(header), "the header is damaged")
    if archive["solid"]:
        model = archive["model"]
        need(model and model["mixing"] and model["streams_at_once"], "a solid archive without ...")
        need(archive["side"] is None, "a solid archive with side information")
    header_length = cursor.position - start
    archive["blocks"], index = [], []
    while True:
        first_at = cursor.position
        first = cursor.integer(1)
        if first == 0:
            break
        archive["blocks"].append(block(cursor, first_at, first))
        index.append((archive["blocks"][-1]["content"], cursor.position - first_at))
    need(cursor.varint(0, 2**16) == header_length, "another length of the header")
    count = cursor.varint(0, 2**62)
    need(count == len(index), "another number of blocks")
    listed = [(cursor.varint(1, 2**24), cursor.varint(0, 2**62)) for _ in range(count)]
    need(listed == index, "another index")
    archive["hash"] = cursor.take(8)
    trailer = data[first_at : cursor.position]
    need(cursor.integer(4) == zlib.crc32(trailer), "the trailer is damaged")
    need(cursor.integer(4) == len(trailer) + 4, "another length of the trailer")
    need(cursor.take(4) == END_MARK, "no end mark")
    archive["end"] = cursor.position
    total = sum(content for content, _ in index)
    need(archive["size"] in (None, total), "another size")
    if all(b["kind"] == 1 for b in archive["blocks"]):
        contents = b"".join(b["payload"] for b in archive["blocks"])
        digest = hashlib.blake2b(contents, digest_size=8).digest()
        need(digest == archive["hash"], "another hash")
    return archive


def block(cursor, start, first):
    kind, given = first & 7, bool(first & 8)
    need(first < 16 and 1 <= kind <= 4 and not (kind == 1 and given), "an unknown kind")
    content, payload_length, tokens = lengths(cursor, kind, 1, 2**24)
    content_crc = cursor.integer(4)
    head = cursor.data[start : cursor.position]
    crc = cursor.integer(4)
    payload = cursor.take(payload_length)
    need(zlib.crc32(head + payload) == crc, "a block is damaged")
    if kind == 1:
        need(zlib.crc32(payload) == content_crc, "contents are damaged")
    return {"kind": kind, "given": given, "content": content, "payload": payload, "tokens": tokens}


def short_archive(cursor, start, kind, given):
    need(1 <= kind <= 4 and not (kind == 1 and given), "an unknown kind")
    archive = {"start": start, "short": True, "solid": False, "size": None, "hash": None}
    archive["model"] = model_section(cursor) if kind in (3, 4) else None
    archive["side"] = side_section(cursor, kind in (3, 4)) if given else None
    content, payload_length, tokens = lengths(cursor, kind, 0 if kind == 1 else 1, 2**16)
    payload = cursor.take(payload_length)
    before = cursor.data[start : cursor.position]
    crc = cursor.take(4)
    need(crc != END_MARK, "a short archive ends like an ordinary one")
    if kind == 1:
        need(zlib.crc32(before + payload) == int.from_bytes(crc, "little"), "damaged")
    archive["blocks"] = [
        {
            "kind": kind,
            "given": bool(given),
            "content": content,
            "payload": payload,
            "tokens": tokens,
        }
    ]
    archive["end"] = cursor.position
    return archive


def parse(data):
    """All archives of a file, from front to back."""
    need(data, "the file is empty")
    archives, position = [], 0
    while position < len(data):
        archives.append(parse_archive(data, position))
        position = archives[-1]["end"]
    return archives


def find(data):
    """Where the archives of a file begin, found from its end as far as that goes."""
    starts, end = [], len(data)
    while end and data[:end].endswith(END_MARK):
        trailer = end - 8 - int.from_bytes(data[end - 8 : end - 4], "little")
        cursor = Cursor(data, trailer)
        need(cursor.integer(1) == 0, "no trailer")
        before = cursor.varint(0, 2**16)
        for _ in range(cursor.varint(0, 2**62)):
            cursor.varint(1, 2**24)
            before += cursor.varint(0, 2**62)
        end = trailer - before
        starts.append(end)
    if end:
        starts += [archive["start"] for archive in reversed(parse(data[:end]))]
    return starts[::-1]
