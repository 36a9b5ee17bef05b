// A sentence in; its translations, and which words each of theirs was taken from, out.

import { asking, examples, textField } from "./asking.js";
import { element, percent, wordsOf } from "./dom.js";
import { predict } from "./rest.js";

const EXAMPLES = [
  "The old man did not buy a red car on Friday.",
  "Why does the teacher look for our small daughters?",
  "I do not thank children.",
];

export function fits({ serving_default: main }) {
  return Boolean(main?.inputs.text && main.outputs.translation);
}

export function form(model) {
  const text = textField("Sentence", EXAMPLES[0], () => asked.submit);
  const count = element("select", null, [1, 3, 5].map((many) => element("option", { value: many, selected: many === 3 }, many)));
  const use = (example) => {
    text.field.value = example;
    asked.submit();
  };
  const asked = asking([text.node, examples(EXAMPLES, use)],
    (exchanges) => shown(model, text.field.value, Number(count.value), exchanges),
    { hint: "Enter asks, Shift + Enter begins a new line" });
  if (model.signatures.n_best) asked.actions.append(element("label", null, "Translations", count));
  return asked.nodes;
}

async function shown(model, text, count, exchanges) {
  const best = model.signatures.n_best && count > 1 ? await several(model, text, count, exchanges)
    : [await predict(model, "serving_default", text, exchanges)];
  const looked = model.signatures.attention ? await predict(model, "attention", text, exchanges) : null;
  return [
    element("p", { class: "big translation" }, best[0].translation || "(nothing)"),
    best.length > 1 && element("div", null, element("h2", null, "The best it found"),
      element("ol", { class: "best" }, best.map(({ translation, score }) => element("li", null, translation,
        element("span", { class: "value", title: "log-probability, by length" }, score.toFixed(2)))))),
    looked && mapOf(looked),
  ];
}

async function several(model, text, count, exchanges) {
  const instance = { text, beam_size: count, length_penalty: 1.0 };
  const answer = await predict(model, "n_best", instance, exchanges);
  return answer.translation.slice(0, answer.count).map((translation, at) => ({ translation, score: answer.score[at] }));
}

// Weights of words: of the pieces of a source word the sum, of those of a target word the mean.
function mapOf({ source_tokens, target_tokens, source_length, target_length, weights }) {
  const sources = wordsOf(source_tokens.slice(0, source_length));
  const targets = wordsOf(target_tokens.slice(0, target_length));
  if (!sources.length || !targets.length) return null;
  const cells = targets.map((target) => sources.map((source) => {
    const rows = weights.slice(target.from, target.to).map((row) =>
      row.slice(source.from, source.to).reduce((sum, weight) => sum + weight, 0));
    return rows.reduce((sum, weight) => sum + weight, 0) / rows.length;
  }));
  const head = element("tr", null, element("td"), sources.map((word) =>
    element("th", { scope: "col" }, element("span", null, word.text))));
  const rows = targets.map((target, at) => element("tr", null, element("th", { scope: "row" }, target.text),
    sources.map((source, which) => {
      const weight = cells[at][which];
      return element("td", { title: `${target.text} ← ${source.text}: ${percent(weight)}` },
        element("span", { "--weight": weight.toFixed(3) }, weight >= 0.1 ? Math.round(100 * weight) : ""));
    })));
  return element("div", null, element("h2", null, "Where each word looked"),
    element("p", { class: "small quiet" }, "Rows are words of the translation, columns those of the sentence; numbers are percent."),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attention map" },
      element("table", { class: "map" }, element("thead", null, head), element("tbody", null, rows))));
}
