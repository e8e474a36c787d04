"""One HTML page, whole in itself: tables that sort, figures, and texts coloured by their bits."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from xml.etree import ElementTree

__all__ = ["Cell", "Figure", "HeatMap", "Table", "Token", "html_report"]

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows to sort by a click. A float is shown with so many `decimals`, None as a dash.

    `decimals` are one number for all columns, or one for each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    decimals: int | tuple[int, ...] = 4

    @property
    def column_decimals(self) -> tuple[int, ...]:
        """Decimals of each column."""
        one = self.decimals
        return (one,) * len(self.columns) if isinstance(one, int) else one


@dataclass(frozen=True)
class Figure:
    """An SVG element as text, trusted; #010203 in it stands for the colour of the text."""

    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True)
class Token:
    """A token as the model met it: its bits, and what the model held likely (0 to 1).

    Entropy and alternatives are the model's own, and so are `model_bits` where mixing with what the
    text repeats has changed them; None: they are the bits.
    """

    text: str
    bits: float
    entropy_bits: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    model_bits: float | None = None


@dataclass(frozen=True)
class HeatMap:
    """A document under a model; the page shows one at a time, by this pair of names."""

    document: str
    model: str
    tokens: tuple[Token, ...]
    note: str = ""


# What HTML forbids in a text or UTF-8 cannot carry, and what turns the text around it.
_UNFIT = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_UNFIT += "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\u202a-\u202e\u2066-\u2069"
_UNFIT_IN_TEXT = re.compile(f"[{_UNFIT}]")
# In data also "<", which could end the element, and what cannot be seen.
_UNFIT_IN_DATA = re.compile(f"[<\u00ad\u061c\u200b-\u200f\u2028\u2029\u2060-\u206f\ufeff{_UNFIT}]")


def _escape(match: re.Match[str]) -> str:
    """As Python writes it."""
    return ascii(match[0])[1:-1]


def _text(text: str) -> str:
    """Any text at all, as HTML."""
    return escape(_UNFIT_IN_TEXT.sub(_escape, text))


def _paragraphs(text: str, kind: str) -> str:
    """Blank lines part paragraphs."""
    parts = (part.strip() for part in re.split(r"\n\s*\n", text))
    return "".join(f'<p class="{kind}">{_text(part)}</p>\n' for part in parts if part)


def _escaped_units(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return re.sub("(....)", r"\\u\1", units)


def _json(value: object) -> str:
    """Compact JSON that is safe inside a script element. Raises ValueError for NaN and infinity."""
    compact = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNFIT_IN_DATA.sub(_escaped_units, compact)


def _number(value: int | float, decimals: int) -> str:
    if isinstance(value, int):
        shown = f"{value:,}"
    elif math.isinf(value):
        shown = "∞" if value > 0 else "-∞"
    else:
        shown = f"{value:z,.{decimals}f}"
    return shown.replace("-", "\u2212")


def _cell(value: Cell, decimals: int, numeric: bool, tag: str) -> str:
    """`data-v` is what a number sorts by; a cell of class `none` sorts last."""
    scope = ' scope="row"' if tag == "th" else ""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return f'<{tag}{scope} class="none{" n" * numeric}">&ndash;</{tag}>'
    if isinstance(value, str):
        return f"<{tag}{scope}>{_text(value)}</{tag}>"
    return f'<{tag}{scope} class="n" data-v="{value!r}">{_number(value, decimals)}</{tag}>'


def _table(number: int, table: Table) -> str:
    """Raises ValueError where a row has more or fewer cells than there are columns."""
    if any(len(row) != len(table.columns) for row in table.rows):
        raise ValueError(f"table {table.title!r}: each row needs {len(table.columns)} cells")
    numeric = [
        bool(table.rows) and not any(isinstance(row[i], str) for row in table.rows)
        for i in range(len(table.columns))
    ]
    tags = ["th" if i == 0 and not n else "td" for i, n in enumerate(numeric)]
    head = "".join(
        f'<th scope="col"{" class=n" * n}>{_text(name)}</th>'
        for name, n in zip(table.columns, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            _cell(cell, d, n, tag)
            for cell, d, n, tag in zip(row, table.column_decimals, numeric, tags, strict=True)
        )
        + "</tr>\n"
        for row in table.rows
    )
    return (
        f'<article>\n<h3 id="table-{number}">{_text(table.title)}</h3>\n'
        f'<div class="wide" role="region" tabindex="0" aria-labelledby="table-{number}">\n'
        f'<table aria-labelledby="table-{number}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        f"{_paragraphs(table.note, 'note')}</article>\n"
    )


_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_UNWANTED = {"metadata", "script", "foreignObject"}
_REFERENCE = re.compile(r"""url\(\s*["']?#([^"')]+)["']?\s*\)""")


def _attributes(old: dict[str, str], prefix: str) -> Iterable[tuple[str, str]]:
    """Those that HTML knows, with `prefix` before each id; references outside the page go."""
    for key, value in old.items():
        key = key.replace(_SVG, "").replace(_XLINK, "").replace(_XML, "xml:")
        value = _REFERENCE.sub(rf"url(#{prefix}\1)", value.replace("#010203", "currentColor"))
        if key == "href":
            if value.startswith("#"):
                yield key, f"#{prefix}{value[1:]}"
            elif value.startswith("data:image/"):
                yield key, value
        elif key == "id":
            yield key, prefix + value
        elif key in ("aria-labelledby", "aria-describedby"):
            yield key, " ".join(prefix + name for name in value.split())
        elif "{" not in key and not key.startswith("on"):
            yield key, value


def _simplify(element: ElementTree.Element, prefix: str) -> None:
    """Leave what HTML draws: no namespaces, no metadata; style rules hold for this figure alone."""
    for child in list(element):
        namespace, _, name = child.tag.rpartition("}")
        if namespace + "}" not in ("}", _SVG) or name in _UNWANTED:
            element.remove(child)
        else:
            _simplify(child, prefix)
    element.tag = element.tag.removeprefix(_SVG)
    element.attrib = dict(_attributes(element.attrib, prefix))
    if element.tag == "style":
        rules = _REFERENCE.sub(rf"url(#{prefix}\1)", element.text or "")
        rules = re.sub(r"#([\w.-]+)(?=[^{}]*\{)", rf"#{prefix}\1", rules)
        element.text = f"#{prefix}svg{{{rules.replace('#010203', 'currentColor')}}}"


def _figure(number: int, figure: Figure) -> str:
    """Raises ValueError where the SVG is not well-formed XML."""
    prefix = f"figure-{number}-"
    try:
        root = ElementTree.fromstring(_UNFIT_IN_TEXT.sub(_escape, figure.svg))
    except ElementTree.ParseError as error:
        raise ValueError(f"figure {figure.title!r}: {error}") from error
    _simplify(root, prefix)
    if root.tag != "svg":
        raise ValueError(f"figure {figure.title!r}: <{root.tag}> is not <svg>")
    root.attrib |= {"id": f"{prefix}svg", "role": "img", "aria-labelledby": f"figure-{number}"}
    root.tail = None
    return (
        f'<article>\n<h3 id="figure-{number}">{_text(figure.title)}</h3>\n'
        f'<div class="figure">{ElementTree.tostring(root, encoding="unicode")}</div>\n'
        f"{_paragraphs(figure.note, 'note')}</article>\n"
    )


def _heat_map(heat_map: HeatMap) -> str:
    """The data of one map: texts once, in `words`, and numbers no finer than the page shows."""
    words: dict[str, int] = {}

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    tokens = heat_map.tokens
    data = {
        "tokens": [word(token.text) for token in tokens],
        "bits": [round(token.bits, 3) for token in tokens],
        "model": [None if (b := token.model_bits) is None else round(b, 3) for token in tokens]
        if any(token.model_bits is not None for token in tokens)
        else [],
        "entropy": [None if (e := token.entropy_bits) is None else round(e, 3) for token in tokens],
        "tops": [
            [x for text, p in token.alternatives for x in (word(text), float(f"{p:.3g}"))]
            for token in tokens
        ],
        "total": math.fsum(token.bits for token in tokens),
        "note": heat_map.note,
        "words": list(words),
    }
    return (
        f'<script type="application/json" class="map" data-document="{_text(heat_map.document)}" '
        f'data-model="{_text(heat_map.model)}">{_json(data)}</script>\n'
    )


@functools.cache
def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def html_report(
    title: str,
    intro: str,
    *,
    tables: Sequence[Table] = (),
    figures: Sequence[Figure] = (),
    heat_maps: Sequence[HeatMap] = (),
    footer: str = "",
) -> str:
    """A page that asks nothing of any network, to be written as UTF-8.

    Texts are plain texts, and may hold anything. Raises ValueError for a ragged table, an SVG that
    is not XML, bits that are not finite, and a pair of document and model that comes twice.
    """
    pairs = {(_text(heat_map.document), _text(heat_map.model)) for heat_map in heat_maps}
    if len(pairs) < len(heat_maps):
        raise ValueError("two heat maps are of the same document and model")
    sections = [
        ("tables", "Tables", "".join(_table(i, t) for i, t in enumerate(tables, 1))),
        ("figures", "Figures", "".join(_figure(i, f) for i, f in enumerate(figures, 1))),
        ("texts", "Texts", _resource("page.html").partition("<!-- texts -->")[2]),
    ]
    if not heat_maps:
        sections.pop()
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in sections)
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_resource("page.html").partition("<!-- texts -->")[0]).substitute(
        title=_text(title),
        intro=_paragraphs(intro, "intro"),
        links=f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections) > 1 else "",
        sections="".join(
            f'<section id="{key}">\n<h2>{name}</h2>\n{body}</section>\n'
            for key, name, body in sections
        ),
        footer=f"<footer>\n{notes}</footer>\n" if (notes := _paragraphs(footer, "note")) else "",
        data="".join(map(_heat_map, heat_maps)),
        style=_resource("page.css"),
        script=script,
        script_digest=digest,
    )
