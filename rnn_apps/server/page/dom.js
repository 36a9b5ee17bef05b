// Elements in one call each: element("p", {class: "quiet"}, "text", child).

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

export function element(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function drawn(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function table(columns, rows, name = "plain") {
  const kinds = columns.map((column) => (column.number ? "number" : null));
  const head = columns.map((column, at) => element("th", { scope: "col", class: kinds[at] }, column.title));
  const body = rows.map((cells) => element("tr", null, cells.map((cell, at) =>
    element("td", { class: kinds[at], "data-label": columns[at].title }, ...[cell].flat()))));
  return element("div", { class: "scroll" },
    element("table", { class: name }, element("thead", null, element("tr", null, head)), element("tbody", null, body)));
}

// A number as people read it: 5 figures, and no more than they need.
export function number(value, digits = 5) {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(digits));
  return rounded.toLocaleString("en", { maximumFractionDigits: 6 });
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 0 : 1)} %`;
}

// Pieces of text as people read them: what the vocabulary lacks is spelled in bytes, as in <0x22>,
// of which several may be one character; it stands where the last of them does.
function readable(pieces) {
  const decoder = new TextDecoder();
  return pieces.map((piece, at) => {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(piece);
    if (!byte) return piece;
    const more = /^<0x[0-9A-F]{2}>$/.test(pieces[at + 1] ?? "");
    return decoder.decode(Uint8Array.of(parseInt(byte[1], 16)), { stream: more });
  });
}

// Subword pieces as words: [{text, from, to, special, glued, …}], pieces `from` up to before `to`;
// a mark such as a full stop is a word of its own, `glued` to the one before.
export function wordsOf(pieces) {
  const names = { "<s>": "‹start›", "</s>": "‹end›" };
  const words = [];
  readable(pieces).forEach((piece, at) => {
    const special = names[piece];
    const last = words.at(-1);
    const isMark = /^[^\p{L}\p{N}▁]+$/u.test(piece);
    if (special || isMark || piece.startsWith("▁") || !last || last.special || last.isMark) {
      const text = special ?? piece.replace("▁", "");
      const glued = Boolean(last) && !special && !piece.startsWith("▁");
      words.push({ text, from: at, to: at + 1, special: Boolean(special), isMark, glued });
    } else {
      last.text += piece;
      last.to = at + 1;
    }
  });
  return words;
}

// Shares as bars, the greatest first: `shares` is a list of [name, share].
export function bars(title, shares) {
  return element("div", { class: "bars" }, element("h2", null, title),
    [...shares].sort((left, right) => right[1] - left[1]).map(([name, share]) => {
      const fill = element("div", { class: "fill" });
      fill.style.width = `${100 * share}%`;
      return element("div", null, element("span", null, name),
        element("span", { class: "track", "aria-hidden": "true" }, fill),
        element("span", { class: "value" }, percent(share)));
    }));
}
