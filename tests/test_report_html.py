"""The HTML page: its structure as bytes, and what a reader sees in a real browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmzip.report.html import Figure, HeatMap, Table, Token, html_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

NASTY = "</script><!-- &amp; \x00\x07\x85 \u202eleft\u202c \ud83d \udcff\r\n\u05d0\u200f\ufffe"
SHOWN = "".join(c if c in "\n\u200f" or c.isprintable() else ascii(c)[1:-1] for c in NASTY)
PLOT = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="200pt" height="100pt" viewBox="0 0 200 100" onload="alert(1)">
<metadata><about xmlns="http://purl.org/dc/elements/1.1/">nothing</about></metadata>
<defs><style>*{stroke-linecap: butt} #mark{fill: #010203}</style>
<clipPath id="clip"><rect width="200" height="100"/></clipPath>
<path id="mark" d="M 0 0 L 9 9"/></defs><script>alert(1)</script><image href="https://x.org/a"/>
<g clip-path="url(#clip)"><use xlink:href="#mark" style="stroke: #010203"/></g>
</svg>"""
LINE = "A model that has read much spends no bits on what it expects, and many on a name.\n"
SPEEDS = Table(
    "Speeds",
    ("document", "bytes", "bits/byte", "kB/s"),
    (
        ("beta", 9, 2.0, None), ("alpha", 1234567, 0.91239, 7.5), ("Gamma <3", 10, 11.5, -1.0),
        ("doc10", 100, 3.0, 80.0), ("doc9", 2000, 3.0, float("nan")),
    ),
    note="First.\n\nSecond.",
    decimals=2,
)  # fmt: skip


def made_up(scale: float) -> tuple[Token, ...]:
    """A text of some 200 tokens with bits of 0 to 16; nothing is known of a newline."""
    tokens = []
    for i, text in enumerate(re.findall(r" ?\w+|\W", LINE * 10)):
        bits = i * 7 % 17 * scale
        guesses = ((text, 2**-bits), (" other", 0.001), ("\n", 1e-9))
        tokens.append(Token(text, bits, 3.0, guesses) if text != "\n" else Token(text, 0.0))
    return tuple(tokens)


@pytest.fixture(scope="module")
def page() -> str:
    return html_report(
        "Sizes & speeds",
        "What was measured.",
        tables=(SPEEDS, Table(NASTY, (NASTY, "nothing"), ((NASTY, None),))),
        figures=(Figure("One", PLOT), Figure("Two", PLOT, NASTY)),
        heat_maps=(
            HeatMap("essay", "small", made_up(1.0), "A note."),
            HeatMap("essay", "large", made_up(0.5)),
            HeatMap("plain", "large", (Token("only", 2.5),)),
            HeatMap(NASTY, "small", (Token(NASTY, 7.0, 1.0, ((NASTY, 0.5),)), Token("", 1.0))),
            HeatMap("mixed", "small", (Token("a", 2.0, 3.0, (), 5.25), Token("b", 2.0, 3.0))),
        ),
        footer="Made by hand.",
    )


class Outline(HTMLParser):
    """Attributes, and texts by their element; fails on tags that do not pair."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.all: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all += [(key, value or "") for key, value in attrs]
        assert len(dict(attrs)) == len(attrs)
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def attributes(self, name: str) -> list[str]:
        return [value for key, value in self.all if key == name]


def test_structure(page: str) -> None:
    outline = Outline(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert outline.texts["title"] == outline.texts["h1"] == ["Sizes & speeds"]
    assert outline.texts["h2"] == ["Tables", "Figures", "Texts"]
    links = ["data:,", "#tables", "#figures", "#texts", "#figure-1-mark", "#figure-2-mark"]
    assert outline.attributes("href") == links
    ids = outline.attributes("id")
    assert len(set(ids)) == len(ids)
    labels = outline.attributes("aria-labelledby")
    assert len(labels) == 6 and set(labels) <= set(ids)
    assert not any(key.startswith("on") for key, _ in outline.all)


def test_only_what_is_there_has_a_place() -> None:
    outline = Outline(html_report("Nothing", "Less."))
    assert not {"h2", "nav", "footer"} & set(outline.texts)
    outline = Outline(html_report("One", "", tables=(Table("Empty", ("a",), ()),)))
    assert outline.texts["h2"] == ["Tables"] and "nav" not in outline.texts


def test_little_is_said_and_nothing_fetched(page: str) -> None:
    script, style = Outline(page).texts["script"][-1], Outline(page).texts["style"][0]
    assert len((style + script).encode()) < 25_000
    assert not re.search(r"http(?!-equiv)|//\w", page.replace(script, ""))
    assert not re.search(r"http|import\(|fetch|<!--", script)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(p for p in Outline(page).attributes("content") if "default-src" in p)
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_any_text(page: str) -> None:
    unfit = "[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\u202a-\u202e]"
    assert not re.search(unfit, page) and page.encode("utf-8")
    outline = Outline(page)
    assert SHOWN in outline.texts["h3"] and outline.texts["th"].count(SHOWN) == 2
    assert outline.attributes("data-document")[3] == SHOWN
    assert json.loads(outline.texts["script"][3])["words"] == [NASTY, ""]


def test_data_of_a_map(page: str) -> None:
    data, tokens = json.loads(Outline(page).texts["script"][0]), made_up(1.0)
    assert [data["words"][i] for i in data["tokens"]] == [token.text for token in tokens]
    assert len(data["words"]) == len(set(data["words"]))
    assert data["bits"] == [token.bits for token in tokens] and data["total"] == sum(data["bits"])
    assert data["tops"][1][:2] == [1, 0.00781] and data["tops"][-1] == []
    assert data["entropy"][0] == 3.0 and data["entropy"][-1] is None


def test_cells() -> None:
    page = html_report("t", "", tables=(SPEEDS,))
    rows = re.findall("<tr>(.*)</tr>", page)
    assert rows[0].count('<th scope="col"') == 4 and rows[0].count("class=n") == 3
    assert rows[1] == (
        '<th scope="row">beta</th><td class="n" data-v="9">9</td>'
        '<td class="n" data-v="2.0">2.00</td><td class="none n">&ndash;</td>'
    )
    assert 'data-v="1234567">1,234,567</td><td class="n" data-v="0.91239">0.91<' in rows[2]
    assert '<th scope="row">Gamma &lt;3</th>' in rows[3] and ">\u22121.00<" in rows[3]
    assert rows[5].endswith("&ndash;</td>") and page.count('<p class="note">') == 2


def test_figures(page: str) -> None:
    svgs = re.findall("<svg.*?</svg>", page, flags=re.S)
    assert len(svgs) == 2
    for number, svg in enumerate(svgs, 1):
        assert f'clip-path="url(#figure-{number}-clip)"' in svg
        assert f'href="#figure-{number}-mark" style="stroke: currentColor"' in svg
        assert f"<style>#figure-{number}-svg{{*{{" in svg and f"#figure-{number}-mark{{" in svg
        assert not re.search("xmlns|metadata|alert|org|#010203|<!|<[?]", svg)
        assert "<image />" in svg and 'viewBox="0 0 200 100"' in svg


def test_figures_of_matplotlib() -> None:
    library, texts = pytest.importorskip("matplotlib.figure"), [io.StringIO(), io.StringIO()]
    for text in texts:
        figure = library.Figure()
        figure.add_subplot().plot([1, 2, 3], [3, 1, 2], marker="o", color="#010203")
        figure.savefig(text, format="svg")
    page = html_report("t", "", figures=[Figure("f", text.getvalue()) for text in texts])
    ids = Outline(page).attributes("id")
    used = {value[1:] for value in Outline(page).attributes("href") if value.startswith("#")}
    assert len(set(ids)) == len(ids) and used and used <= {*ids, "figures"}
    assert re.findall("http.{6}", page) == ["http-equiv"]


def test_errors() -> None:
    wrong: dict[str, dict[str, Any]] = {
        "ragged": {"tables": [Table("ragged", ("a", "b"), (("x",),))]},
        "broken": {"figures": [Figure("broken", "<svg><g></svg>")]},
        "not <svg>": {"figures": [Figure("other", "<html/>")]},
        "same document": {"heat_maps": [HeatMap("d", "m", ()), HeatMap("d", "m", ())]},
        "Out of range": {"heat_maps": [HeatMap("d", "m", (Token("t", float("inf")),))]},
    }
    for message, content in wrong.items():
        with pytest.raises(ValueError, match=message):
            html_report("t", "", **content)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A headless Chromium."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with chromedriver is installed")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=ChromeService(executable_path=driver)) as chrome:
        yield chrome


@pytest.fixture
def opened(browser: Chrome, page: str, tmp_path: Path) -> Iterator[Chrome]:
    """The page, 1,200 pixels wide and light; fails if the browser had anything to complain of."""
    emulate(browser, 1200, "light")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    (tmp_path / "page.html").write_text(page, "utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def emulate(browser: Chrome, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def soon(browser: Chrome, condition: Callable[[], bool]) -> bool:
    """Whether it comes true in ten seconds: a browser tells a page of its new surroundings when
    it next draws it."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.wait import WebDriverWait

    try:
        return bool(WebDriverWait(browser, 10, 0.05).until(lambda _: condition()))
    except TimeoutException:
        return False


def find(browser: Chrome, selector: str) -> list[WebElement]:
    return browser.find_elements("css selector", selector)


def texts(browser: Chrome, selector: str) -> list[str]:
    return [element.text for element in find(browser, selector)]


def choose(browser: Chrome, select: str, option: int) -> None:
    find(browser, f"{select} option")[option].click()


def hover(browser: Chrome, element: WebElement) -> str:
    """What the tip says while the mouse is on the element."""
    from selenium.webdriver import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    ActionChains(browser).move_to_element(element).perform()
    return texts(browser, "#tip")[0]


def press(browser: Chrome, key: str) -> int:
    """Which token has the keyboard after this key; -1 for none."""
    from selenium.webdriver.common.keys import Keys

    browser.switch_to.active_element.send_keys(getattr(Keys, key))
    tokens = "[...document.querySelectorAll('#tokens .t')]"
    return int(browser.execute_script(f"return {tokens}.indexOf(document.activeElement)"))


def test_a_click_sorts_a_table(opened: Chrome) -> None:
    table = "#tables article:first-of-type"

    def sort(column: int) -> str:
        head = find(opened, f"{table} thead th")[column]
        head.find_element("css selector", "button").click()
        assert len(find(opened, "[aria-sort]")) == 1
        names = " ".join(name.split()[0] for name in texts(opened, f"{table} tbody th"))
        return f"{head.get_attribute('aria-sort')} {names}"

    assert sort(1) == "ascending beta Gamma doc10 doc9 alpha"
    assert sort(1) == "descending alpha doc9 doc10 Gamma beta"
    assert sort(2) == "ascending alpha beta doc10 doc9 Gamma"
    assert sort(0) == "ascending alpha beta doc9 doc10 Gamma"
    assert sort(3) == "ascending Gamma alpha doc10 beta doc9"
    assert sort(3) == "descending doc10 alpha Gamma beta doc9"


def test_the_tip_of_a_token(opened: Chrome) -> None:
    tokens = find(opened, "#tokens .t")
    assert len(tokens) == len(made_up(1.0))
    assert hover(opened, tokens[1]).replace("\n", " ") == (
        "\u2423model bits 7.00 probability 0.78 % entropy 3.00 surprise +4.00 "
        "The model's guesses \u2423model 0.78 % \u2423other 0.10 % \\n <0.001 %"
    )
    assert hover(opened, tokens[-1]).split() == [
        "\\n",
        "bits",
        "0.00",
        "probability",
        "100.00",
        "%",
    ]
    assert hover(opened, find(opened, "#sums")[0]) == ""


def test_the_select_boxes_change_the_map(opened: Chrome) -> None:
    assert texts(opened, "#note, #model option") == ["small", "large", "A note."]
    before = texts(opened, "#sums"), hover(opened, find(opened, "#tokens .t")[1])
    choose(opened, "#model", 1)
    after = texts(opened, "#sums"), hover(opened, find(opened, "#tokens .t")[1])
    assert before[0] != after[0] and before[1] != after[1]
    choose(opened, "#document", 1)
    assert texts(opened, "#model option, #tokens") == ["large", "only"]
    assert not find(opened, "input[value=surprise]")[0].is_enabled()
    choose(opened, "#document", 0)
    assert find(opened, "#model")[0].get_attribute("value") == "large"


def test_surprise_is_the_models_own(opened: Chrome) -> None:
    """Mixing makes a token cheaper, not less of a surprise to the model."""
    choose(opened, "#document", 3)
    first, second = find(opened, "#tokens .t")
    said = hover(opened, first).replace("\n", " ")
    assert "bits 2.00" in said and "before mixing 5.25" in said and "surprise +2.25" in said
    said = hover(opened, second).replace("\n", " ")
    assert "before mixing" not in said and "surprise \u22121.00" in said
    find(opened, "input[value=surprise] + span")[0].click()
    cold = [" cold" in f" {token.get_attribute('class')}" for token in (first, second)]
    assert cold == [False, True]


def test_any_text_in_a_map(opened: Chrome) -> None:
    choose(opened, "#document", 2)
    assert texts(opened, "#tokens")[0].startswith(SHOWN.partition("\n")[0] + "\u21b5\n\u05d0")
    assert "\\udcff\\r\\n\u05d0\\u200f\\ufffe" in hover(opened, find(opened, "#tokens .t")[0])
    assert hover(opened, find(opened, "#tokens .t")[1]).startswith("\u2205\n")


def test_colours(opened: Chrome) -> None:
    """The more bits, the further from the paper; texts stay readable on all, in both themes."""
    script = """
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = (colour) => {
      canvas.fillStyle = colour, canvas.fillRect(0, 0, 1, 1);
      const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((x) =>
        x > 10 ? ((x / 255 + .055) / 1.055) ** 2.4 : x / 3294.6);
      return .2126 * r + .7152 * g + .0722 * b + .05;
    };
    return [...document.querySelectorAll("#key .t")].map((swatch) => {
      const { color, backgroundColor } = getComputedStyle(swatch);
      return Math.exp(Math.abs(Math.log(light(color) / light(backgroundColor))));
    });"""
    for _ in range(2):
        contrasts = opened.execute_script(script)
        assert len(contrasts) == 9 and contrasts == sorted(contrasts, reverse=True)
        find(opened, "input[value=surprise] + span")[0].click()
        contrasts += opened.execute_script(script)
        assert len(contrasts) == 18 and min(contrasts) >= 4.5 and find(opened, "#tokens .cold")
        find(opened, "input[value=bits] + span")[0].click()
        assert not find(opened, "#tokens .cold")
        find(opened, "#theme")[0].click()


def test_dark(opened: Chrome) -> None:
    def look() -> tuple[str, str]:
        background = "return getComputedStyle(document.body).backgroundColor"
        return texts(opened, "#theme")[0], opened.execute_script(background)

    light = look()
    find(opened, "#theme")[0].click()
    dark = look()
    assert light[0] == "Dark" and dark[0] == "Light" and light[1] != dark[1]
    opened.refresh()
    emulate(opened, 1200, "dark")
    assert soon(opened, lambda: look() == dark)


def test_the_keyboard_moves_between_tokens(opened: Chrome) -> None:
    assert len(find(opened, "#tokens [tabindex='0']")) == 1
    find(opened, "#dear button")[0].click()
    at = (costs := [token.bits for token in made_up(1.0)]).index(16.0)
    assert press(opened, "ARROW_RIGHT") == at + 1 and press(opened, "ARROW_LEFT") == at
    assert texts(opened, "#tip")[0].split("\n")[1:3] == ["bits", "16.00"]
    below = press(opened, "ARROW_DOWN")
    assert below > at + 1 and press(opened, "ARROW_UP") < below
    assert press(opened, "HOME") == 0 and press(opened, "ARROW_LEFT") == 0
    assert press(opened, "END") == len(costs) - 1 and len(find(opened, "#tokens [tabindex]")) == 1
    assert press(opened, "ESCAPE") == -1 and not find(opened, "#tip")[0].is_displayed()


def test_on_a_phone(opened: Chrome) -> None:
    emulate(opened, 360, "light")
    assert soon(opened, lambda: opened.execute_script("return innerWidth") == 360)
    for document in (2, 1, 0):
        choose(opened, "#document", document)
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    find(opened, "#tokens .t")[-2].click()
    tip, token = find(opened, "#tip")[0], find(opened, "#tokens .t.at")[0]
    script = "return [...arguments].map((element) => element.getBoundingClientRect().toJSON())"
    panel, spot = opened.execute_script(script, tip, token)
    assert panel["width"] >= 340 and spot["bottom"] <= panel["top"] and panel["bottom"] == 740
    find(opened, "#tip button")[0].click()
    assert not tip.is_displayed()


def test_without_javascript(opened: Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.refresh()
    assert "1,234,567" in texts(opened, "table")[0]
    assert "switched off" in texts(opened, "noscript")[0]
    assert not find(opened, "#theme")[0].is_displayed()
