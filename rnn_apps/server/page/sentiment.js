// A text in; a gauge, the probability of each class and what was looked at out.

import { asking, examples, textField } from "./asking.js";
import { bars, drawn, element, percent, wordsOf } from "./dom.js";
import { ask, predict } from "./rest.js";

const EXAMPLES = [
  "The plot is not bad at all.",
  "Hardly anyone would say that the service was wonderful.",
  "Although the room was small, the breakfast was superb.",
];

export function fits({ serving_default: main }) {
  return Boolean(main?.inputs.text && main.outputs.label && main.outputs.probabilities);
}

export function form(model) {
  const text = textField("Text", EXAMPLES[0], () => asked.submit);
  const use = (example) => {
    text.field.value = example;
    asked.submit();
  };
  const asked = asking([text.node, examples(EXAMPLES, use)], async (exchanges) => {
    const answer = await predict(model, "serving_default", text.field.value, exchanges);
    const classes = await classesOf(model, text.field.value, answer, exchanges);
    const looked = model.signatures.attention
      ? await predict(model, "attention", text.field.value, exchanges) : null;
    return [
      element("div", { class: "verdict" }, gauge(answer), bars("How probable each is", classes)),
      looked?.tokens && attended(looked),
    ];
  }, { hint: "Enter asks, Shift + Enter begins a new line" });
  return asked.nodes;
}

async function classesOf(model, text, answer, exchanges) {
  if (!model.signatures.classify) {
    return answer.probabilities.map((share, at) => [`class ${at + 1}`, share]);
  }
  const body = { signature_name: "classify", examples: [{ text }] };
  return (await ask(model, "classify", body, exchanges)).results[0];
}

function gauge({ label, score }) {
  const verdict = element("p", { class: "big" }, label);
  if (typeof score !== "number") return verdict;
  const arc = (from, to, colour) => drawn("path", {
    d: `M${point(from)}A80 80 0 0 1 ${point(to)}`, fill: "none", stroke: colour, "stroke-width": 16,
  });
  const needle = drawn("g", { class: "needle", "--turn": "0" },
    drawn("path", { d: "M96 100 100 32 104 100Z", fill: "var(--ink)" }),
    drawn("circle", { cx: 100, cy: 100, r: 8, fill: "var(--ink)" }));
  needle.style.transformOrigin = "100px 100px";
  needle.style.transform = `rotate(${90 * score}deg)`;
  const picture = drawn("svg", { viewBox: "0 0 200 128", role: "img", "aria-label": `${label}: ${score.toFixed(2)} on a scale from -1 to +1` },
    arc(-1, -0.34, "var(--bad)"), arc(-0.32, 0.32, "var(--line)"), arc(0.34, 1, "var(--good)"),
    ...[[-1, 20, "−1"], [0, 100, "0"], [1, 180, "+1"]].map(([at, x, text]) =>
      drawn("text", { x, y: at ? 122 : 10, "text-anchor": "middle", "font-size": 11, fill: "var(--quiet)" }, text)),
    needle);
  return element("div", { class: "gauge" }, picture, verdict,
    element("p", { class: "quiet" }, `score ${score > 0 ? "+" : ""}${score.toFixed(2)}`));
}

function point(score) {
  const angle = (Math.PI / 2) * (1 - score);
  return `${(100 + 80 * Math.cos(angle)).toFixed(2)} ${(100 - 80 * Math.sin(angle)).toFixed(2)}`;
}

function attended({ tokens, weights, length }) {
  const pieces = tokens.slice(0, length ?? tokens.length);
  const words = wordsOf(pieces).map((word) => ({
    ...word, weight: weights.slice(word.from, word.to).reduce((sum, weight) => sum + weight, 0),
  }));
  const most = Math.max(...words.map((word) => word.weight), 1e-9);
  const marks = words.filter((word) => !word.special).flatMap(({ text, weight, glued }) => [
    glued ? "" : " ", element("mark", { "--weight": (0.62 * weight) / most, title: percent(weight) }, text)]);
  return element("div", null, element("h2", null, "What it looked at"),
    element("p", { class: "looked" }, marks));
}
