// The page on which pictures are looked at, whatever looks: the service, or the browser itself.
// Each picture is looked at once, at a low score: the slider and the class toggles filter what came.
// What depends on better detections alone, as NMS does, is the same at any higher score.

import { at, drawBoxes, drawClasses, drawList } from "./drawing.js";

const LOWEST_SCORE = 0.05;

const state = {
  look: null, // (blob, lowest score, canvas of a frame or undefined) to `found`
  model: null, // {name, about, classes, score, lowest, thresholds of each class or null}
  pictures: [], // {name, file, url, found: {width, height, detections, own, milliseconds}}
  shown: -1,
  hidden: new Set(), // classes
  camera: null,
  early: [], // files that came before the model
};

// `look` gives detections {class, class_id, score, box} in pixels; `own` are those by the model's
// own thresholds, where it has some.
export function start(look) {
  state.look = look;
}

export function setModel(model) {
  state.model = model;
  state.hidden.clear();
  const slider = at("score");
  slider.min = Math.ceil(100 * Math.max(LOWEST_SCORE, model.lowest ?? 0)) / 100;
  slider.value = model.score;
  at("own-choice").hidden = !model.thresholds;
  at("own").checked = Boolean(model.thresholds);
  at("about").textContent = model.about;
  redraw();
  add(state.early.splice(0));
}

export function say(text, fault = false) {
  at("status").textContent = text;
  at("status").classList.toggle("fault", fault);
}

export function counted(classes) {
  return classes.length === 1 ? "1 class" : `${classes.length} classes`;
}

// ---- Pictures ------------------------------------------------------------------------------

async function add(files) {
  if (!state.model) state.early.push(...files);
  if (!files.length || !state.model) return;
  stopCamera();
  let faults = 0;
  for (const file of files) {
    const name = file.name || "the picture";
    say(`Looking at ${name} …`);
    try {
      if (file.type && !file.type.startsWith("image/")) throw new Error("is no picture");
      const found = await state.look(file, Number(at("score").min));
      const url = URL.createObjectURL(file);
      state.pictures.push({ name: file.name || "pasted", file, url, found });
      show(state.pictures.length - 1);
    } catch (error) {
      faults += 1;
      say(`${name}: ${error.message}`, true);
    }
  }
  if (!faults) say("");
}

// With another model.
export async function lookAgain() {
  const again = state.pictures.splice(0);
  for (const picture of again) URL.revokeObjectURL(picture.url);
  state.shown = -1;
  redraw(); // without the boxes of the model before
  await add(again.filter((picture) => picture.file).map((picture) => picture.file));
}

function show(index) {
  state.shown = index;
  const picture = state.pictures[index];
  if (picture) setPicture(picture);
  const thumbs = state.pictures.map((one, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-current", place === index);
    button.setAttribute("aria-label", one.name);
    const image = new Image();
    image.src = one.url;
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => show(place));
    return button;
  });
  at("pictures").replaceChildren(...(thumbs.length > 1 ? thumbs : []));
  redraw();
}

function setPicture({ name, url, found }) {
  const image = at("picture");
  at("stage").classList.remove("empty");
  at("hint").hidden = true;
  image.hidden = false;
  at("boxes").removeAttribute("hidden"); // SVG has no property of that name
  image.classList.remove("unshown");
  image.width = found.width;
  image.height = found.height;
  image.alt = name;
  image.style.aspectRatio = `${found.width} / ${found.height}`;
  image.style.height = image.style.width = "auto";
  image.src = url;
}

function current() {
  return state.camera?.last ?? state.pictures[state.shown] ?? null;
}

// What is above the score, of all classes.
function above(picture) {
  if (!picture) return [];
  if (at("own").checked && picture.found.own) return picture.found.own;
  const score = Number(at("score").value);
  return picture.found.detections.filter((one) => one.score > score);
}

function passing() {
  return above(current()).filter((one) => !state.hidden.has(one.class));
}

// ---- What is drawn -------------------------------------------------------------------------

function redraw() {
  at("score-shown").textContent = Number(at("score").value).toFixed(2);
  const picture = current();
  const found = passing();
  const all = picture?.found.detections ?? [];
  if (picture) drawBoxes(picture.found, found);
  else at("boxes").replaceChildren();
  if (state.model) drawClasses(state.model.classes, all, above(picture), state.hidden, redraw);
  drawList(found);
  at("copy").disabled = !picture;
  at("count").textContent = picture ? summary(picture, found) : "No picture yet";
}

function summary({ found: { milliseconds } }, found) {
  const count = found.length === 1 ? "1 detection" : `${found.length} detections`;
  return milliseconds === undefined ? count : `${count} in ${Math.round(milliseconds)} ms`;
}

// ---- The webcam ----------------------------------------------------------------------------

async function startCamera() {
  if (!state.model) return;
  if (!navigator.mediaDevices?.getUserMedia) {
    return say("A browser gives its webcam to pages of https or of localhost alone.", true);
  }
  let stream;
  at("webcam").disabled = true; // a second one would never be stopped
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(`The webcam cannot be had: ${error.message}`, true);
  } finally {
    at("webcam").disabled = false;
  }
  const camera = { stream, last: null };
  state.camera = camera;
  at("webcam").setAttribute("aria-pressed", true);
  at("webcam").textContent = "Stop webcam";
  const video = at("video");
  video.srcObject = stream;
  await video.play();
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  while (state.camera === camera) {
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    try {
      const begin = performance.now();
      const found = await state.look(blob, Number(at("score").min), canvas);
      if (state.camera !== camera) break;
      const before = camera.last;
      camera.last = { name: "webcam", url: URL.createObjectURL(blob), found };
      setPicture(camera.last);
      redraw();
      if (before) URL.revokeObjectURL(before.url);
      say(`${Math.round(performance.now() - begin)} ms a picture`);
    } catch (error) {
      say(error.message, true);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

function stopCamera() {
  const camera = state.camera;
  if (!camera) return;
  for (const track of camera.stream.getTracks()) track.stop();
  state.camera = null;
  if (camera.last) {
    state.pictures.push(camera.last); // the last one stays
    show(state.pictures.length - 1);
  }
  at("webcam").setAttribute("aria-pressed", false);
  at("webcam").textContent = "Webcam";
  say("");
}

// ---- What a person does --------------------------------------------------------------------

async function copy() {
  const picture = current();
  const { width, height } = picture.found;
  const content = { name: picture.name, model: state.model.name, width, height };
  const text = JSON.stringify({ ...content, detections: passing() }, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // where a page is not secure
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied.");
}

at("choose").addEventListener("click", () => at("files").click());
at("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = "";
});
at("webcam").addEventListener("click", () => (state.camera ? stopCamera() : startCamera()));
at("copy").addEventListener("click", copy);
at("score").addEventListener("input", () => {
  at("own").checked = false; // one threshold for all classes instead
  redraw();
});
at("own").addEventListener("change", redraw);
at("picture").addEventListener("error", () => at("picture").classList.add("unshown"));
document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
document.addEventListener("keydown", (event) => event.key === "Escape" && stopCamera());
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("stage").classList.add("over");
});
document.addEventListener("dragleave", () => at("stage").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  add([...event.dataTransfer.files]);
});
new ResizeObserver(() => current() && drawBoxes(current().found, passing())).observe(at("stage"));
