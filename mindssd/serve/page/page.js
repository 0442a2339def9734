// The service's page: pictures go to the service, by the interface that programs have too.

import { at } from "./drawing.js";
import { counted, lookAgain, say, setModel, start } from "./viewer.js";

let models = [];
let chosen = null;

function headers() {
  const token = sessionStorage.getItem("token");
  if (!token) return {};
  // A header takes bytes; the service has the token in UTF-8.
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  return { Authorization: `Bearer ${bytes}` };
}

async function ask(address, options = {}) {
  const answer = await fetch(address, { ...options, headers: { ...headers(), ...options.headers } });
  if (answer.status === 401) {
    at("token-form").hidden = false;
    at("token").focus();
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error || `the service answers ${answer.status}`);
  return content;
}

// By the model's own thresholds too, where it has some: others count among the best otherwise.
async function look(blob, lowest) {
  const { name: model, thresholds } = chosen;
  const [found, own] = await Promise.all([
    detect(blob, { model, score: lowest }),
    thresholds && detect(blob, { model }),
  ]);
  return { ...found, own: own && own.detections };
}

async function detect(blob, settings) {
  const content = await ask(`/v1/detect?${new URLSearchParams(settings)}`, {
    method: "POST",
    body: blob,
    headers: { "Content-Type": "application/octet-stream" },
  });
  return content.images[0];
}

async function readModels() {
  try {
    models = (await ask("/v1/models")).models;
  } catch (error) {
    return say(error.message, true);
  }
  at("model").replaceChildren(...models.map((model) => new Option(model.name)));
  at("model-choice").hidden = models.length < 2;
  choose(models[0].name);
}

function choose(name) {
  chosen = models.find((model) => model.name === name);
  const { lowest_score: lowest, score, thresholds, runtime, classes } = chosen;
  const [height, width] = chosen.image_size;
  const about = `${name}: ${counted(classes)}, ${width} × ${height}, ${runtime}`;
  setModel({ name, about, classes, score, lowest, thresholds });
}

at("model").addEventListener("change", (event) => {
  choose(event.target.value);
  lookAgain();
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token-form").hidden = true;
  say("");
  readModels();
});
start(look);
readModels();
