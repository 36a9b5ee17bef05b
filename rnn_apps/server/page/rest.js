// What this page asks the server: the same requests that any client sends.

async function answerOf(response) {
  const text = await response.text();
  let body;
  try {
    // REST writes numbers that are none as bare words, which JSON does not know.
    body = JSON.parse(text.replace(/(?<=[[,:\s])(-?Infinity|NaN)(?=[\],}\s])/g, "null"));
  } catch {
    throw new Error(`The server answered with status ${response.status} and no JSON.`);
  }
  if (!response.ok) throw new Error(body.error ?? `status ${response.status}`);
  return body;
}

async function get(path) {
  return answerOf(await fetch(path));
}

function pathOf(name, version) {
  return `/v1/models/${encodeURIComponent(name)}${version ? `/versions/${version}` : ""}`;
}

export async function names() {
  return (await get("/page/models.json")).models;
}

export async function versions(name) {
  return (await get(pathOf(name))).model_version_status;
}

export async function signatures(name, version) {
  const { metadata } = await get(`${pathOf(name, version)}/metadata`);
  const known = Object.entries(metadata.signature_def.signature_def);
  return Object.fromEntries(known.filter(([key]) => !key.startsWith("__")));
}

// Sends one request; keeps it in `exchanges`, to be shown.
export async function ask(model, verb, body, exchanges) {
  const path = `${pathOf(model.name, model.version)}:${verb}`;
  const began = performance.now();
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  const answer = await answerOf(response);
  exchanges.push({ path, body, answer, milliseconds: performance.now() - began });
  return answer;
}

export async function predict(model, signature, instance, exchanges) {
  const named = signature === "serving_default" ? {} : { signature_name: signature };
  const { predictions } = await ask(model, "predict", { ...named, instances: [instance] }, exchanges);
  return predictions[0];
}
