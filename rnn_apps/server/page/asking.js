// A form that asks, and the place where its answer is shown.

import { element } from "./dom.js";

const LONGEST = 4000; // characters of a request or an answer that are shown

function shortened(value) {
  const text = JSON.stringify(value, (key, part) =>
    typeof part === "string" && part.length > 200 ? `${part.slice(0, 200)}…` : part);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
}

function sent(exchanges) {
  const total = exchanges.reduce((sum, each) => sum + each.milliseconds, 0);
  const count = exchanges.length === 1 ? "1 request" : `${exchanges.length} requests`;
  const parts = exchanges.flatMap(({ path, body, answer, milliseconds }) => [
    element("p", { class: "small quiet" }, `POST ${path} · ${milliseconds.toFixed(0)} ms`),
    element("pre", { tabindex: "0", "aria-label": "Request" },
      `curl -d '${shortened(body).replaceAll("'", "'\\''")}' ${location.origin}${path}`),
    element("pre", { tabindex: "0", "aria-label": "Answer" }, shortened(answer)),
  ]);
  return element("details", { class: "sent" },
    element("summary", null, `${count}, ${total.toFixed(0)} ms`), ...parts);
}

// Joins a form and its answer. `work(exchanges)` sends the requests and returns elements to show;
// an Error that it throws is shown in its words. Only the answer to the last question is shown.
export function asking(fields, work, { hint } = {}) {
  const button = element("button", { class: "ask", type: "submit" }, "Ask");
  const answer = element("section", { class: "card answer", "aria-live": "polite", "aria-label": "Answer", hidden: true });
  let asked = 0;

  async function submit(event) {
    event?.preventDefault();
    const own = ++asked;
    const exchanges = [];
    answer.hidden = false;
    answer.setAttribute("aria-busy", "true");
    button.disabled = true;
    let shown;
    try {
      shown = [await work(exchanges)].flat();
    } catch (error) {
      shown = [element("p", { class: "error", role: "alert" }, error.message)];
    }
    if (own !== asked) return;
    answer.replaceChildren(...shown.filter(Boolean), ...(exchanges.length ? [sent(exchanges)] : []));
    answer.setAttribute("aria-busy", "false");
    button.disabled = false;
  }

  const form = element("form", { class: "card", onsubmit: submit, "aria-label": "Ask the model" },
    ...fields, element("div", { class: "actions" }, button, hint && element("span", { class: "small quiet hint" }, hint)));
  return { nodes: [form, answer], submit, actions: form.lastChild };
}

// A text field in which Enter asks, as Shift+Enter begins a new line.
export function textField(label, value, submit) {
  const field = element("textarea", { rows: "3", onkeydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit()(event);
  } });
  field.value = value;
  return { field, node: element("label", { class: "field" }, label, field) };
}

export function examples(texts, use) {
  return element("div", { class: "actions", role: "group", "aria-label": "Examples" },
    texts.map((text) => element("button", { type: "button", class: "example", onclick: () => use(text) }, text)));
}

// A place for files: to click, to drop on, and with the keyboard.
export function dropField(title, more, accept, use) {
  const input = element("input", { type: "file", class: "hidden", accept, onchange: () => {
    if (input.files[0]) use(input.files[0]);
    input.value = "";
  } });
  const over = (is) => (event) => {
    event.preventDefault();
    node.classList.toggle("over", is);
  };
  const node = element("label", {
    class: "drop", ondragover: over(true), ondragleave: over(false),
    ondrop: (event) => {
      over(false)(event);
      if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
    },
  }, input, element("strong", null, title), element("span", { class: "small quiet" }, more));
  return node;
}
