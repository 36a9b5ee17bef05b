// Any other model: a request as JSON in, the answer as JSON out.

import { asking } from "./asking.js";
import { element } from "./dom.js";
import { ask } from "./rest.js";

const BLANK = { DT_STRING: "", DT_BOOL: false };

export function fits() {
  return true;
}

// One instance of the shape that a signature takes; sizes that may vary are 1.
function instanceOf(inputs) {
  const blank = ({ dtype, tensor_shape }) => (tensor_shape?.dim ?? []).slice(1).reduceRight(
    (inner, dim) => Array.from({ length: Math.min(Math.max(Number(dim.size), 1), 8) }, () => inner), BLANK[dtype] ?? 0);
  const row = Object.fromEntries(Object.entries(inputs).map(([name, info]) => [name, blank(info)]));
  return Object.keys(row).length === 1 ? Object.values(row)[0] : row;
}

export function form(model) {
  const names = Object.keys(model.signatures);
  const field = element("textarea", { class: "code", rows: "8", spellcheck: "false" });
  const choice = element("select", { onchange: () => fill() }, names.map((name) => element("option", { value: name }, name)));
  choice.value = names.includes("serving_default") ? "serving_default" : names[0] ?? "";

  function fill() {
    const { inputs } = model.signatures[choice.value] ?? { inputs: {} };
    field.value = JSON.stringify({ signature_name: choice.value, instances: [instanceOf(inputs)] }, null, 2);
  }

  fill();
  return asking([
    element("label", { class: "actions" }, "Signature", choice),
    element("label", { class: "field" }, "Request", field),
  ], async (exchanges) => {
    let body;
    try {
      body = JSON.parse(field.value);
    } catch (error) {
      throw new Error(`The request is not JSON: ${error.message}.`);
    }
    const answer = await ask(model, "predict", body, exchanges);
    return element("pre", { class: "json" }, JSON.stringify(answer, null, 2));
  }).nodes;
}
