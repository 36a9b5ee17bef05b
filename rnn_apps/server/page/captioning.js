// A picture in; its caption, and where each word of it was looked for, out.

import { asking, dropField } from "./asking.js";
import { element, wordsOf } from "./dom.js";
import { predict } from "./rest.js";

export function fits({ serving_default: main }) {
  return Boolean(main?.inputs.image_bytes && main.outputs.caption);
}

export function form(model) {
  let picture = null; // {b64, url}
  const thumb = element("img", { class: "thumb", alt: "", hidden: true });
  const chosen = element("p", { class: "small quiet", "aria-live": "polite" }, "No picture yet.");

  async function use(file) {
    const url = await new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });
    picture = { url, b64: url.slice(url.indexOf(",") + 1) };
    thumb.src = url;
    thumb.hidden = false;
    chosen.textContent = `${file.name || "pasted picture"}, ${Math.max(1, Math.round(file.size / 1024))} KB`;
    asked.submit();
  }

  const asked = asking([
    dropField("Choose a picture", "or drop it here, or paste it: JPEG, PNG, GIF or BMP", "image/*", use),
    element("div", { class: "actions" }, thumb, chosen),
  ], async (exchanges) => {
    if (!picture) throw new Error("There is no picture yet: choose, drop or paste one, or use the example.");
    return shown(model, picture, exchanges);
  });
  asked.actions.append(element("button", { type: "button", class: "example", onclick: async () => use(await example()) }, "Use the example"));
  const [node] = asked.nodes;
  const paste = (event) => {
    if (!node.isConnected) document.removeEventListener("paste", paste);
    else if (event.clipboardData.files[0]) use(event.clipboardData.files[0]);
  };
  document.addEventListener("paste", paste);
  return asked.nodes;
}

async function shown(model, { b64, url }, exchanges) {
  const looked = model.signatures.attention
    ? await predict(model, "attention", { b64 }, exchanges)
    : await predict(model, "serving_default", { b64 }, exchanges);
  if (looked.ok === false) {
    return element("p", { class: "error", role: "alert" }, "The server could not read this as a picture: it is corrupt, too large, or of another format.");
  }
  const { n_best: best } = model.signatures;
  const others = best ? await alternatives(model, b64, exchanges) : [];
  const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
  const frame = element("div", { class: "picture" },
    element("img", { src: url, alt: looked.caption || "the picture that was sent" }), canvas);
  const said = element("div", { class: "stack" },
    looked.weights && wordButtons(looked, canvas), others.length > 1 && listOf(others));
  return element("figure", { class: "stack" },
    element("figcaption", { class: "big caption" }, looked.caption || "(nothing)"),
    element("div", { class: "seen" }, frame, said));
}

async function alternatives(model, b64, exchanges) {
  const instance = { image_bytes: { b64 }, beam_size: 3, length_penalty: 1.0 };
  const { caption, score, count } = await predict(model, "n_best", instance, exchanges);
  return caption.slice(0, count).map((text, at) => ({ text, score: score[at] }));
}

function listOf(others) {
  return element("div", null, element("h2", null, "The best it found"),
    element("ol", { class: "best" }, others.map(({ text, score }) => element("li", null, text,
      element("span", { class: "value", title: "log-probability, by length" }, score.toFixed(2))))));
}

function wordButtons({ tokens, weights, length }, canvas) {
  const words = wordsOf(tokens.slice(0, length)).filter((word) => !word.special);
  const buttons = words.map((word) => element("button", { type: "button", "aria-pressed": "false" }, word.text));
  let held = null;
  const look = (at) => spotlight(canvas,
    at === null ? null : averaged(weights.slice(words[at].from, words[at].to)));
  buttons.forEach((button, at) => {
    button.addEventListener("click", () => {
      held = held === at ? null : at;
      buttons.forEach((each, which) => each.setAttribute("aria-pressed", String(which === held)));
      look(held);
    });
    for (const come of ["pointerenter", "focus"]) button.addEventListener(come, () => look(at));
    for (const go of ["pointerleave", "blur"]) button.addEventListener(go, () => look(held));
  });
  return element("div", null, element("h2", null, "Where it looked"),
    element("p", { class: "small quiet" }, "Each word lights the places it was taken from."),
    element("div", { class: "words" }, buttons));
}

function averaged(grids) {
  return grids[0].map((row, y) => row.map((_, x) => grids.reduce((sum, grid) => sum + grid[y][x], 0) / grids.length));
}

// Darkens a picture where the weights of a grid are small; no grid, no darkness.
function spotlight(canvas, grid) {
  const size = grid?.length ?? 1;
  canvas.width = canvas.height = size;
  if (!grid) return;
  const context = canvas.getContext("2d");
  const most = Math.max(...grid.flat(), 1e-9);
  const image = context.createImageData(size, size);
  grid.flat().forEach((weight, at) => { image.data[4 * at + 3] = Math.round(190 * (1 - Math.sqrt(weight / most))); });
  context.putImageData(image, 0, 0);
}

// A small picture of two coloured shapes.
async function example() {
  const canvas = element("canvas", { width: 96, height: 96 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#c9ccd2";
  context.fillRect(0, 0, 96, 96);
  context.fillStyle = "#2846c8";
  context.beginPath();
  context.arc(24, 48, 16, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "#d22f27";
  context.fillRect(56, 32, 32, 32);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "example.png", { type: "image/png" });
}
