// Looks at pictures beside the page, so that the page stays free meanwhile.

import { letterboxedSize, prepare } from "./images.js";
import { content, openNetwork } from "./network.js";
import { pixels } from "./pixels.js";
import { detections } from "./selection.js";

let model;
let network;

async function open({ wanted }) {
  const text = await content(new URL("../model.json", import.meta.url));
  model = JSON.parse(new TextDecoder().decode(text));
  network = await openNetwork(...model.image_size, wanted);
  return { ...model, runtime: network.runtime };
}

// `source` is a picture's file or a frame; `lowest` the score above which detections are given.
async function look({ source, lowest, raw }) {
  const picture = await pixels(source);
  const { width, height } = picture;
  const start = performance.now();
  const outputs = await network.run(prepare(picture, model));
  const filled = model.keeps_aspect ? letterboxedSize(height, width, ...model.image_size) : null;
  const found = detections(outputs, picture, filled, model, lowest);
  const least = model.thresholds && Math.min(...model.thresholds);
  const own = model.thresholds
    ? detections(outputs, picture, filled, model, least, model.thresholds)
    : null;
  const milliseconds = performance.now() - start;
  return { width, height, detections: found, own, milliseconds, ...(raw ? { outputs } : {}) };
}

const jobs = { open, look };

self.addEventListener("message", async ({ data: { id, job, ...given } }) => {
  try {
    self.postMessage({ id, result: await jobs[job](given) });
  } catch (error) {
    self.postMessage({ id, fault: error?.message ?? String(error) });
  }
});
