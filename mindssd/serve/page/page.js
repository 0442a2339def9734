// Asks once for a picture, at a low score: the slider and the class toggles filter what came.
// What depends on better detections alone, as NMS does, is the same at any higher score.

const LOWEST_SCORE = 0.05;
const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);

const state = {
  models: [],
  model: null,
  pictures: [], // {name, url, found: {width, height, detections}}
  shown: -1,
  hidden: new Set(), // classes
  camera: null,
  asked: 0, // pictures on their way
};

// ---- The service ---------------------------------------------------------------------------

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
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

async function readModels() {
  try {
    state.models = (await ask("/v1/models")).models;
  } catch (error) {
    return say(error.message, true);
  }
  at("model").replaceChildren(...state.models.map((model) => new Option(model.name)));
  at("model-choice").hidden = state.models.length < 2;
  chooseModel(state.models[0].name);
}

function chooseModel(name) {
  state.model = state.models.find((model) => model.name === name);
  state.hidden.clear();
  const { lowest_score: lowest, runtime, image_size: [height, width], classes } = state.model;
  const slider = at("score");
  slider.min = Math.ceil(100 * Math.max(LOWEST_SCORE, lowest)) / 100;
  slider.value = state.model.score;
  const count = classes.length === 1 ? "1 class" : `${classes.length} classes`;
  at("about").textContent = `${name}: ${count}, ${width} × ${height}, ${runtime}`;
  redraw();
}

async function detect(blob) {
  const query = new URLSearchParams({ model: state.model.name, score: at("score").min });
  const content = await ask(`/v1/detect?${query}`, {
    method: "POST",
    body: blob,
    headers: { "Content-Type": "application/octet-stream" },
  });
  return content.images[0];
}

// ---- Pictures ------------------------------------------------------------------------------

async function add(files) {
  if (!files.length || !state.model) return;
  stopCamera();
  let faults = 0;
  state.asked += files.length;
  for (const file of files) {
    say(`Looking at ${file.name || "the picture"} …`);
    try {
      const found = await detect(file);
      const name = file.name || "pasted";
      state.pictures.push({ name, file, url: URL.createObjectURL(file), found });
      show(state.pictures.length - 1);
    } catch (error) {
      faults += 1;
      say(`${file.name || "the picture"}: ${error.message}`, true);
    }
    state.asked -= 1;
  }
  if (!faults) say("");
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

function passing() {
  const picture = current();
  if (!picture) return [];
  const score = Number(at("score").value);
  return picture.found.detections.filter(
    (one) => one.score > score && !state.hidden.has(one.class)
  );
}

// ---- What is drawn -------------------------------------------------------------------------

function colour(classId) {
  const hue = (classId * 137.508 + 210) % 360; // the golden angle: neighbours differ
  return `hsl(${hue.toFixed(1)} 85% 60%)`;
}

function make(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function redraw() {
  at("score-shown").textContent = Number(at("score").value).toFixed(2);
  const picture = current();
  const found = passing();
  drawBoxes(picture, found);
  drawClasses(picture);
  drawList(picture, found);
}

function drawBoxes(picture, found) {
  const boxes = at("boxes");
  if (!picture) return;
  const { width, height } = picture.found;
  boxes.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const scale = width / (at("picture").clientWidth || width);
  const size = 13 * scale;
  const groups = found.map((one, index) => {
    const [x1, y1, x2, y2] = one.box;
    const paint = colour(one.class_id);
    const label = `${one.class} ${one.score.toFixed(2)}`;
    const above = y1 > 1.4 * size;
    const long = (0.6 * label.length + 0.7) * size; // about
    const left = Math.max(0, Math.min(x1, width - long));
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    const text = make("text", {
      x: left + 0.35 * size,
      y: above ? y1 - 0.35 * size : y1 + 1.05 * size,
      "font-size": size,
      fill: "#111",
    });
    text.textContent = label;
    const plate = make("rect", {
      class: "plate", x: left, y: above ? y1 - 1.35 * size : y1, height: 1.35 * size,
      width: long,
    });
    plate.style.stroke = "none";
    plate.style.fill = paint;
    const rect = make("rect", {
      class: "box", x: x1, y: y1, width: x2 - x1, height: y2 - y1, stroke: paint,
    }, title);
    const group = make("g", { "data-index": index }, rect, plate, text);
    group.addEventListener("pointerenter", () => light(index));
    group.addEventListener("pointerleave", () => light(-1));
    return group;
  });
  boxes.replaceChildren(...groups.reverse()); // the best on top
}

function drawClasses(picture) {
  if (!state.model) return;
  const score = Number(at("score").value);
  const counts = new Map();
  for (const one of picture?.found.detections ?? []) {
    if (one.score > score) counts.set(one.class, (counts.get(one.class) ?? 0) + 1);
  }
  // Those of the picture alone, where a model knows many.
  const known = state.model.classes.map((name, classId) => ({ name, classId }));
  const there = new Set((picture?.found.detections ?? []).map((one) => one.class));
  const listed = known.length <= 12 ? known : known.filter(
    ({ name }) => there.has(name) || state.hidden.has(name)
  );
  const area = at("classes");
  const focused = document.activeElement?.dataset?.name;
  area.replaceChildren(...listed.map(({ name, classId }) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !state.hidden.has(name);
    box.dataset.name = name;
    box.addEventListener("change", () => {
      box.checked ? state.hidden.delete(name) : state.hidden.add(name);
      redraw();
    });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = colour(classId);
    label.append(box, swatch, `${name} (${counts.get(name) ?? 0})`);
    return label;
  }));
  if (focused) [...area.querySelectorAll("input")].find((one) => one.dataset.name === focused)?.focus();
}

function drawList(picture, found) {
  at("copy").disabled = !picture;
  const count = found.length === 1 ? "1 detection" : `${found.length} detections`;
  at("count").textContent = picture ? count : "No picture yet";
  at("list").replaceChildren(...found.map((one, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.index = index;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = colour(one.class_id);
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = one.class;
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = one.score.toFixed(3);
    button.append(swatch, name, number);
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => light(index));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => light(-1));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function light(index) {
  for (const group of at("boxes").children) {
    const own = Number(group.dataset.index) === index;
    group.classList.toggle("dim", index >= 0 && !own);
    group.querySelector(".box").classList.toggle("lit", own);
  }
  for (const button of at("list").querySelectorAll("button")) {
    button.classList.toggle("lit", Number(button.dataset.index) === index);
  }
}

function say(text, fault = false) {
  at("status").textContent = text;
  at("status").classList.toggle("fault", fault);
}

// ---- The webcam ----------------------------------------------------------------------------

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    return say("A browser gives its webcam to pages of https or of localhost alone.", true);
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(`The webcam cannot be had: ${error.message}`, true);
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
      const start = performance.now();
      const found = await detect(blob);
      if (state.camera !== camera) break;
      const before = camera.last;
      camera.last = { name: "webcam", url: URL.createObjectURL(blob), found };
      setPicture(camera.last);
      redraw();
      if (before) URL.revokeObjectURL(before.url);
      say(`${Math.round(performance.now() - start)} ms a picture`);
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

function images(transfer) {
  return [...transfer.files].filter((file) => file.type.startsWith("image/") || !file.type);
}

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
at("score").addEventListener("input", redraw);
at("model").addEventListener("change", async (event) => {
  chooseModel(event.target.value);
  const again = state.pictures.splice(0);
  for (const picture of again) URL.revokeObjectURL(picture.url);
  await add(again.filter((picture) => picture.file).map((picture) => picture.file));
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token-form").hidden = true;
  say("");
  readModels();
});
at("picture").addEventListener("error", () => at("picture").classList.add("unshown"));
document.addEventListener("paste", (event) => add(images(event.clipboardData)));
document.addEventListener("keydown", (event) => event.key === "Escape" && stopCamera());
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("stage").classList.add("over");
});
document.addEventListener("dragleave", () => at("stage").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  add(images(event.dataTransfer));
});
new ResizeObserver(() => drawBoxes(current(), passing())).observe(at("stage"));
readModels();
