// Prices in; a fan of what may follow, and its numbers, out.

import { asking, dropField } from "./asking.js";
import { drawn, element, number, table } from "./dom.js";
import * as prices from "./prices.js";
import { predict } from "./rest.js";

const MARGIN = { top: 14, right: 14, bottom: 26, left: 58 };
const HEIGHT = 320;

export function fits({ serving_default: main }) {
  return Boolean(main?.inputs.bars && main.outputs.quantiles);
}

export function form(model) {
  const field = element("textarea", { class: "code", rows: "7", spellcheck: "false", oninput: () => look() });
  const found = element("p", { class: "small quiet", "aria-live": "polite" });
  const choice = element("select", { "aria-label": "Series" });
  const which = element("label", { hidden: true }, "Series", choice);
  const paths = element("input", { type: "checkbox" });
  field.value = prices.example();

  function read() {
    which.hidden = true;
    const { series, complete, notes } = prices.read(field.value);
    const names = Object.keys(series);
    const chosen = choice.value;
    choice.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(chosen)) choice.value = chosen;
    which.hidden = names.length < 2;
    const one = series[choice.value || names[0]];
    const kind = complete ? "bars" : "closing prices";
    found.textContent = [`${one.bars.length} ${kind} found.`, ...notes].join(" ");
    return { ...one, complete };
  }

  // Says while somebody types what is found, or why it cannot be read.
  function look() {
    try {
      read();
    } catch (error) {
      found.textContent = error.message;
    }
  }

  async function use(file) {
    field.value = await file.text();
    asked.submit();
  }

  choice.addEventListener("change", () => asked.submit());
  const asked = asking([
    dropField("Choose a CSV file", "or drop it here, or paste rows below: open, high, low, close, volume, or only close", ".csv,.tsv,.txt,text/csv", use),
    element("label", { class: "field" }, "Prices, oldest first", field), found,
  ], async (exchanges) => {
    look();
    const given = read();
    const forecast = await forecastOf(model, given, exchanges);
    const sampled = paths.checked ? await predict(model, "paths", given.bars, exchanges) : [];
    return shown(given, forecast, sampled);
  });
  asked.actions.append(which,
    model.signatures.paths && element("label", null, paths, "with sample paths"),
    element("button", { type: "button", class: "example", onclick: () => {
      field.value = prices.example();
      asked.submit();
    } }, "Use the example"));
  look();
  return asked.nodes;
}

async function forecastOf(model, { bars, complete }, exchanges) {
  if (complete || !model.signatures.closes) return predict(model, "serving_default", bars, exchanges);
  return predict(model, "closes", bars.map((bar) => bar[3]), exchanges);
}

function shown({ bars, dates }, { quantiles, mean }, sampled) {
  const closes = bars.map((bar) => bar[3]);
  const [ends, count] = [quantiles.at(-1), quantiles[0].length];
  const middle = medianOf(ends);
  const steps = quantiles.length === 1 ? "the next bar" : `${quantiles.length} bars`;
  const chart = element("figure", { class: "chart" });
  new ResizeObserver(() => {
    if (chart.clientWidth) chart.replaceChildren(fan(chart.clientWidth, closes, dates, quantiles, sampled));
  }).observe(chart);
  const rows = quantiles.map((levels, step) => [`+${step + 1}`, levels[0], levels[count >> 2], medianOf(levels),
    levels[count - 1 - (count >> 2)], levels.at(-1), mean?.[step]].map((value) =>
    (typeof value === "number" ? number(value) : value ?? "–")));
  const columns = ["bar", "lowest", "lower", "median", "upper", "highest", "mean"];
  return [
    element("div", null,
      element("p", { class: "big" }, `In ${steps}: between ${number(ends[0])} and ${number(ends.at(-1))}`),
      element("p", { class: "quiet" }, `The median is ${number(middle)}, the last close ${number(closes.at(-1))}. The ends are the lowest and the highest of ${count} quantiles.`)),
    chart, legend(sampled.length),
    element("details", null, element("summary", null, "The numbers"),
      table(columns.map((title, at) => ({ title, number: at > 0 })), rows)),
  ];
}

function medianOf(levels) {
  const half = (levels.length - 1) / 2;
  return (levels[Math.floor(half)] + levels[Math.ceil(half)]) / 2;
}

function legend(sampled) {
  const keys = [["past-key", "closing prices"], ["median-key", "median"], ["band-key", "between pairs of quantiles"]];
  const paths = sampled ? [element("span", { class: "median-key" }, `${sampled} sample paths, thin`)] : [];
  return element("p", { class: "legend" }, keys.map(([name, text]) => element("span", { class: name }, text)), paths);
}

// Round values between two, about as many as are asked for.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((each) => each * power >= rough);
  const values = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) values.push(at * step);
  return values;
}

function fan(width, closes, dates, quantiles, sampled) {
  const horizon = quantiles.length;
  const past = closes.slice(-Math.max(20, Math.min(60, 12 * horizon, Math.round(width / 13))));
  const all = [...past, ...quantiles.flat(), ...sampled.flat()];
  const room = (Math.max(...all) - Math.min(...all)) * 0.05 || 1;
  const [low, high] = [Math.min(...all) - room, Math.max(...all) + room];
  const x = (bar) => MARGIN.left + ((bar + past.length - 1) / (past.length - 1 + horizon)) * (width - MARGIN.left - MARGIN.right);
  const y = (price) => MARGIN.top + ((high - price) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const line = (prices, from, name) => drawn("polyline", { class: name,
    points: prices.map((price, at) => `${x(from + at).toFixed(1)},${y(price).toFixed(1)}`).join(" ") });
  const last = past.at(-1);
  const bands = Array.from({ length: Math.floor(quantiles[0].length / 2) }, (_, at) => {
    const [lower, upper] = [quantiles.map((levels) => levels[at]), quantiles.map((levels) => levels.at(-1 - at))];
    const edge = [...[last, ...upper].map((price, step) => [step, price]),
      ...lower.map((price, step) => [step + 1, price]).reverse()];
    return drawn("polygon", { class: "band", points: edge.map(([step, price]) => `${x(step).toFixed(1)},${y(price).toFixed(1)}`).join(" ") });
  });
  const rulers = ticks(low, high, 5).flatMap((price) => [
    drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(price), y2: y(price) }),
    drawn("text", { x: MARGIN.left - 8, y: y(price) + 4, "text-anchor": "end" }, number(price)),
  ]);
  const start = dates.at(-past.length) || `−${past.length - 1}`;
  const names = [[x(1 - past.length), "start", start], [x(0), "middle", dates.at(-1) || "now"], [x(horizon), "end", `+${horizon}`]];
  const crowded = x(horizon) - x(0) < 90;
  const named = names.map(([at, anchor, text], which) => drawn("text",
    { x: at, y: HEIGHT - 8, "text-anchor": crowded && which === 1 ? "end" : anchor }, text));
  return drawn("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
    "aria-label": `Closing prices, and ${horizon} bars of quantiles after the last of ${number(last)}`,
  }, rulers, drawn("line", { class: "now", x1: x(0), x2: x(0), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
  bands, sampled.map((path) => line([last, ...path], 0, "path")),
  line(past, 1 - past.length, "past"), line([last, ...quantiles.map(medianOf)], 0, "median"),
  drawn("circle", { class: "last", cx: x(0), cy: y(last), r: 3.5 }), named);
}
