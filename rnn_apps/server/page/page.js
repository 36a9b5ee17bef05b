// The page: which models there are, one of them at a time, and the form that fits it.

import * as anyModel from "./any_model.js";
import * as captioning from "./captioning.js";
import { element, table } from "./dom.js";
import * as forecasting from "./forecasting.js";
import * as language from "./language.js";
import * as rest from "./rest.js";
import * as sentiment from "./sentiment.js";
import * as translation from "./translation.js";

const APPLICATIONS = [
  [sentiment, "a text → its label"],
  [forecasting, "prices → what may follow"],
  [captioning, "a picture → its caption"],
  [translation, "a sentence → its translation"],
  [language, "a text → how it may go on"],
  [anyModel, "a request → an answer"],
];
const OFTEN = 3000; // milliseconds between two looks at the versions
const navigation = document.getElementById("models");
const main = document.getElementById("main");
let shown = 0;

function problem(error) {
  return element("p", { class: "card error", role: "alert" }, error.message);
}

function typeOf(info) {
  const sizes = (info.tensor_shape?.dim ?? []).map((dim, at) => (dim.size >= 0 ? dim.size : at ? "?" : "batch"));
  return `${info.dtype.replace("DT_", "").toLowerCase()} [${sizes.join(", ")}]`;
}

function signaturesOf(signatures) {
  const side = (tensors) => element("ul", null, Object.keys(tensors).sort().map((name) =>
    element("li", null, element("code", null, name), " ",
      element("span", { class: "quiet small" }, typeOf(tensors[name])))));
  const rows = Object.keys(signatures).sort().sort((left, right) => (right === "serving_default") - (left === "serving_default"))
    .map((name) => [element("code", null, name), side(signatures[name].inputs), side(signatures[name].outputs)]);
  return element("details", { class: "card signatures" },
    element("summary", null, `Signatures (${rows.length})`),
    table([{ title: "name" }, { title: "takes" }, { title: "gives" }], rows, "plain signatures"));
}

function chipsOf(statuses) {
  return statuses.map(({ version, state, status }) => {
    const broken = status.error_code !== "OK";
    const kind = broken ? "broken" : state.toLowerCase();
    return element("li", { class: `chip ${kind}`, title: status.error_message },
      `version ${version} · ${broken ? status.error_code : state}`);
  });
}

// What is at the top of a model: its name, its versions as they come and go, and a choice of them.
function headOf(name, version, statuses) {
  const chips = element("ul", { class: "chips", "aria-label": "Versions" });
  const choice = element("select", { onchange: () => show(name, choice.value) });
  let before = "";
  function update(now) {
    const text = JSON.stringify(now);
    if (text === before) return;
    before = text;
    chips.replaceChildren(...chipsOf(now));
    const loaded = now.filter((each) => each.state === "AVAILABLE").map((each) => each.version);
    const chosen = choice.options.length ? choice.value : version;
    choice.replaceChildren(element("option", { value: "" }, "latest"),
      ...loaded.map((each) => element("option", { value: each }, each)));
    choice.value = loaded.includes(chosen) ? chosen : "";
  }
  update(statuses);
  const node = element("section", { class: "card head", "aria-label": "Model" },
    element("div", { class: "row" }, element("h1", null, name), element("label", null, "Ask version", choice)), chips);
  return { node, update };
}

async function watch(name, own, update) {
  while (own === shown) {
    await new Promise((resolve) => setTimeout(resolve, OFTEN));
    if (own === shown && !document.hidden) await rest.versions(name).then(update, () => null);
  }
}

async function show(name, version = "") {
  const own = ++shown;
  for (const link of navigation.children) {
    if (link.dataset.name === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name} – models on this server`;
  try {
    const [statuses, signatures] = await Promise.all([rest.versions(name), rest.signatures(name, version)]);
    if (own !== shown) return;
    const model = { name, version, signatures };
    const [application] = APPLICATIONS.find(([each]) => each.fits(signatures));
    const head = headOf(name, version, statuses);
    main.replaceChildren(head.node, ...application.form(model), signaturesOf(signatures));
    watch(name, own, head.update);
  } catch (error) {
    if (own === shown) main.replaceChildren(problem(error));
  }
}

async function linkOf(name) {
  const kind = await rest.signatures(name).then(
    (signatures) => APPLICATIONS.find(([each]) => each.fits(signatures))[1], () => "not loaded");
  return element("a", { href: `#/${encodeURIComponent(name)}`, "data-name": name }, name, element("span", null, kind));
}

function follow() {
  const wanted = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  const names = [...navigation.children].map((link) => link.dataset.name);
  if (wanted === "main") return;
  if (names.length) show(names.includes(wanted) ? wanted : names[0]);
}

async function start() {
  document.getElementById("where").textContent = location.host;
  try {
    const names = await rest.names();
    navigation.replaceChildren(...(await Promise.all(names.map(linkOf))));
    if (!names.length) {
      main.replaceChildren(problem(new Error("No model is served: the folder holds none yet. Publish one and load this page again.")));
    }
  } catch (error) {
    main.replaceChildren(problem(error));
  }
  window.addEventListener("hashchange", follow);
  follow();
}

start();
