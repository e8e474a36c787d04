"use strict";
(() => {
  const id = (name) => document.getElementById(name);
  const make = (tag, kind, ...parts) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...parts);
    return element;
  };
  const count = (n) => n.toLocaleString("en-US");

  // Light and dark.
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const offerTheme = () => (id("theme").textContent = dark() ? "Light" : "Dark");
  id("theme").onclick = () => {
    root.dataset.theme = dark() ? "light" : "dark";
    offerTheme();
  };
  prefersDark.onchange = offerTheme;
  id("theme").hidden = false;
  id("theme").title = "Switch between light and dark";
  offerTheme();

  // Tables: numbers before texts, nothing last, equals in the order of the page.
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const value = (cell) => {
    if (cell.classList.contains("none")) return null;
    return cell.dataset.v ? Number(cell.dataset.v) : cell.textContent;
  };
  const order = (a, b) =>
    typeof a !== typeof b ? (typeof a === "number" ? -1 : 1)
    : typeof a === "number" ? a - b || 0
    : collator.compare(a, b);
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", "", ...head.childNodes);
      button.type = "button";
      button.onclick = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = rows.map((row) => [value(row.cells[column]), row]);
        keyed.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return down ? order(b, a) : order(a, b);
        });
        const sorted = document.createDocumentFragment();
        keyed.forEach(([, row]) => sorted.append(row));
        body.append(sorted);
      };
      head.append(button);
    });
  }

  // Texts.
  const sources = [...document.querySelectorAll("script.map")];
  if (!sources.length) return;
  const [box, tip] = [id("tokens"), id("tip")];
  const [documents, models] = [id("document"), id("model")];
  const small = matchMedia("(max-width: 40rem)"); // the tip is at the foot, over the text
  const MOST = { bits: 16, surprise: 8 };
  let map, spans, at, under, shown; // `at`: the token that has the keyboard; `under`: the mouse

  const UNSEEN = new RegExp("[\\0-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b-\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ufffe\\uffff\\ud800-\\udfff]", "u");
  const JOINING = /[\xad\u061c\u200c-\u200f]/;
  const PICTURES = { "\n": "\u21b5", "\t": "\u2192", "\r": "\\r" };
  const ESCAPES = { "\n": "\\n", "\t": "\\t", "\r": "\\r", " ": "\u2423", "": "\u2205" };
  const hex = (char) => {
    const digits = char.codePointAt(0).toString(16);
    return digits.length > 2 ? "\\u" + digits.padStart(4, "0") : "\\x" + digits.padStart(2, "0");
  };
  // The text with what cannot be seen drawn. In the running text newlines and tabs also act, and
  // what shapes or turns the letters beside it is left to do so; embeddings and overrides are not.
  const draw = (element, text, running) => {
    const alone = ![...text].some((char) => !UNSEEN.test(char));
    let plain = "";
    for (const char of text) {
      const kept = running
        ? !UNSEEN.test(char) || (!alone && JOINING.test(char))
        : !UNSEEN.test(char) && char !== " ";
      if (kept) {
        plain += char;
        continue;
      }
      element.append(plain, make("i", "", (running ? PICTURES : ESCAPES)[char] ?? hex(char)));
      plain = running && /[\n\t]/.test(char) ? char : "";
    }
    element.append(plain);
    if (!text) element.append(make("i", "", ESCAPES[""]));
    return element;
  };
  const code = (text) => draw(make("code"), text, false);

  const chance = (p) =>
    p >= 0.9995 ? (100 * p).toFixed(2) + " %"
    : p >= 0.001 ? (100 * p).toPrecision(p < 0.01 ? 2 : 3) + " %"
    : p >= 1e-9 ? "1 in " + count(Math.round(Number((1 / p).toPrecision(3))))
    : p.toExponential(1);
  const percent = (p) =>
    p >= 0.001 ? chance(p) : p >= 1e-5 ? (100 * p).toFixed(3) + " %" : "<0.001 %";
  const signed = (x) => (x < 0 ? "\u2212" : "+") + Math.abs(x).toFixed(2);
  const term = (list, name, ...parts) =>
    list.append(make("div", "", make("dt", "", name), make("dd", "", ...parts)));

  const colour = (element, x, most) => {
    element.style.setProperty("--x", Math.min(100, (100 * Math.abs(x ?? 0)) / most).toFixed(1));
    element.classList.toggle("cold", x < 0);
  };
  const scale = () => document.querySelector("input[name=scale]:checked").value;
  // Entropy is the model's own, so surprise is too: its bits before mixing.
  const own = (i) => map.model[i] ?? map.bits[i];
  const surprise = (i) => (map.entropy[i] === null ? null : own(i) - map.entropy[i]);
  const paint = () => {
    const most = MOST[scale()];
    const bits = scale() === "bits";
    spans.forEach((span, i) => colour(span, bits ? map.bits[i] : surprise(i), most));
    const swatches = make("div");
    for (let x = bits ? 0 : -most; x <= most; x += 2) {
      const label = (x < 0 ? "\u2212" : "") + Math.abs(x);
      const end = Math.abs(x) < most ? "" : x < 0 ? "\u2264" : "\u2265";
      const swatch = make("span", "t", end + label);
      colour(swatch, x, most);
      swatches.append(swatch);
    }
    id("key").replaceChildren(bits ? "bits" : "bits \u2212 entropy", swatches);
  };

  // The tip: beside the token, or (by the style sheet) at the foot of a small screen.
  const place = () => {
    const span = under ?? at;
    if (tip.hidden || !span) return;
    const { left, top, bottom } = span.getClientRects()[0] ?? span.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = tip;
    const last = [...span.getClientRects()].at(-1)?.bottom ?? bottom;
    const below = last + 8 + height <= innerHeight || top < height + 8;
    tip.style.left = Math.max(8, Math.min(left, root.clientWidth - width - 8)) + "px";
    tip.style.top = (below ? last + 8 : top - height - 8) + "px";
  };
  const show = (span) => {
    shown?.classList.remove("at");
    shown = span;
    tip.hidden = !span;
    if (!span) return;
    span.classList.add("at");
    const i = spans.indexOf(span);
    const facts = make("dl");
    term(facts, "bits", map.bits[i].toFixed(2));
    term(facts, "probability", chance(2 ** -map.bits[i]));
    if (own(i) !== map.bits[i]) term(facts, "before mixing", own(i).toFixed(2));
    if (map.entropy[i] !== null) {
      term(facts, "entropy", map.entropy[i].toFixed(2));
      term(facts, "surprise", signed(surprise(i)));
    }
    const text = map.words[map.tokens[i]];
    const close = make("button", "", "Close");
    close.type = "button";
    close.onclick = leave;
    tip.replaceChildren(code(text), facts, close);
    const tops = map.tops[i];
    if (tops.length) {
      const list = make("ol");
      for (let k = 0; k < tops.length; k += 2) {
        const bar = make("div");
        bar.style.width = 100 * tops[k + 1] + "%";
        const other = map.words[tops[k]];
        list.append(make("li", other === text ? "it" : "", code(other), make("div", "", bar),
          make("small", "", percent(tops[k + 1]))));
      }
      tip.append(make("h4", "", "The model's guesses"), list);
    }
    place();
  };
  const leave = () => {
    under = null;
    if (at && at === document.activeElement) at.blur();
    show(null);
  };

  // One token is a tab stop; the arrow keys move it.
  const hold = (span) => {
    if (at) {
      at.removeAttribute("tabindex");
      at.removeAttribute("aria-describedby");
    }
    at = span;
    at.tabIndex = 0;
    at.setAttribute("aria-describedby", "tip");
  };
  const go = (span, block) => {
    under = null;
    hold(span);
    span.focus({ preventScroll: true });
    span.scrollIntoView({ block });
    show(span);
  };
  const middle = (span) => {
    const { left, right, top, bottom } = span.getClientRects()[0] ?? span.getBoundingClientRect();
    return [(left + right) / 2, (top + bottom) / 2, bottom - top];
  };
  // The nearest token in the next line up or down.
  const lineward = (from, step) => {
    const [x, y, height] = middle(spans[from]);
    let best = from, nearest = Infinity, line = null;
    for (let i = from + step; i in spans; i += step) {
      const [x2, y2] = middle(spans[i]);
      if ((y2 - y) * step < height / 2) continue;
      line ??= y2;
      if (Math.abs(y2 - line) > height / 2) break;
      if (Math.abs(x2 - x) < nearest) [best, nearest] = [i, Math.abs(x2 - x)];
    }
    return best;
  };
  const MOVES = {
    ArrowLeft: (i) => i - 1,
    ArrowRight: (i) => i + 1,
    ArrowUp: (i) => lineward(i, -1),
    ArrowDown: (i) => lineward(i, 1),
    Home: () => 0,
    End: () => spans.length - 1,
  };
  box.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const to = spans[move(spans.indexOf(at))];
    if (to) go(to, "nearest");
  });
  addEventListener("keydown", (event) => event.key === "Escape" && !tip.hidden && leave());
  box.addEventListener("focusin", (event) => show(event.target));
  box.addEventListener("focusout", () => show(under));
  box.addEventListener("click", (event) => {
    const span = event.target.closest(".t");
    if (span && !String(getSelection())) go(span, "nearest");
  });
  box.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch" || small.matches) return;
    under = event.target.closest(".t");
    show(under ?? (at === document.activeElement ? at : null));
  });
  box.addEventListener("pointerleave", () => {
    under = null;
    show(at === document.activeElement ? at : null);
  });
  addEventListener("scroll", place, { passive: true });
  addEventListener("resize", place);

  const summarise = () => {
    const tokens = spans.length;
    const list = make("dl");
    term(list, "Tokens", count(tokens));
    term(list, "Total", count(Math.round(map.total)), " ",
      make("small", "", "bits, " + count(Math.ceil(map.total / 8)) + " bytes"));
    const rate = (x) => [x.toFixed(3), " ", make("small", "", "bits a token")];
    if (tokens) term(list, "Mean", ...rate(map.total / tokens));
    const known = map.entropy.filter((entropy) => entropy !== null);
    if (known.length) {
      term(list, "Entropy", ...rate(known.reduce((a, b) => a + b) / known.length));
    }
    id("sums").replaceChildren(...list.childNodes);
    const byCost = [...map.bits.keys()].sort((a, b) => map.bits[b] - map.bits[a]).slice(0, 8);
    id("dear").replaceChildren(...byCost.map((i) => {
      const cost = make("small", "", map.bits[i].toFixed(1));
      const button = make("button", "", code(map.words[map.tokens[i]]), cost);
      button.type = "button";
      button.onclick = () => go(spans[i], "center");
      return make("li", "", button);
    }));
    const [, relative] = document.querySelectorAll("input[name=scale]");
    relative.disabled = !known.length;
    if (relative.disabled) document.querySelector("input[name=scale]").checked = true;
  };
  const open = () => {
    at = under = null;
    tip.hidden = true;
    const source = sources.find(
      ({ dataset: { document, model } }) => document === documents.value && model === models.value);
    map = JSON.parse(source.textContent);
    spans = map.tokens.map((word) => draw(make("span", "t"), map.words[word], true));
    box.replaceChildren(...spans);
    id("note").textContent = map.note;
    summarise();
    paint();
    if (spans.length) hold(spans[0]);
  };
  const offer = (select, names) =>
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  const offerModels = () => {
    const before = models.value;
    const chosen = sources.filter((source) => source.dataset.document === documents.value);
    const names = chosen.map((source) => source.dataset.model);
    offer(models, names);
    if (names.includes(before)) models.value = before;
    open();
  };
  offer(documents, [...new Set(sources.map((source) => source.dataset.document))]);
  documents.onchange = offerModels;
  models.onchange = open;
  id("scale").onchange = paint;
  id("map").hidden = false;
  offerModels();
})();
