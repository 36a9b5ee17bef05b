// A text in; what may come next, and how the model would go on, out.

import { asking, examples, textField } from "./asking.js";
import { bars, element } from "./dom.js";
import { predict } from "./rest.js";

const EXAMPLES = ["I had hardly", "There is no doubt that", "The room was"];
const CONTINUED = { length: 40, temperature: 0.8 };

export function fits({ serving_default: main }) {
  return Boolean(main?.inputs.text && main.outputs.tokens && main.outputs.probabilities);
}

export function form(model) {
  let seed = 0;
  const text = textField("Text", EXAMPLES[0], () => asked.submit);
  const use = (example) => {
    text.field.value = example;
    asked.submit();
  };
  const asked = asking([text.node, examples(EXAMPLES, use)], async (exchanges) => {
    const given = text.field.value;
    const { tokens, probabilities } = await predict(model, "serving_default", given, exchanges);
    const written = model.signatures.generate
      ? await predict(model, "generate", { text: given, ...CONTINUED, seed: seed++ }, exchanges) : null;
    return [
      written && element("p", { class: "big continued" }, given, element("mark", null, written.continuation)),
      bars("What may come next", tokens.map((token, at) => [nameOf(token), probabilities[at]])),
    ];
  }, { hint: "Each time you ask, it goes on in another way" });
  return asked.nodes;
}

function nameOf(token) {
  if (token === "") return "(the end)";
  return token.trim() === "" ? JSON.stringify(token) : token.trim();
}
