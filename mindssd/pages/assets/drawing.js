// What the pages that show detections draw: boxes on the picture, their list, the classes.

const SVG = "http://www.w3.org/2000/svg";
const FEW_CLASSES = 12;

export const at = (id) => document.getElementById(id);

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

function swatch(classId) {
  const element = document.createElement("span");
  element.className = "swatch";
  element.style.background = colour(classId);
  return element;
}

// The boxes of what is `found` in a picture of (width, height), and their names.
export function drawBoxes({ width, height }, found) {
  const boxes = at("boxes");
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

// A box to tick for each class: those of the picture alone, where a model knows many. `found` are
// all detections of the picture, `passing` those above the score; `hidden` holds what is unticked.
export function drawClasses(names, found, passing, hidden, redraw) {
  const counts = new Map();
  for (const one of passing) counts.set(one.class, (counts.get(one.class) ?? 0) + 1);
  const known = names.map((name, classId) => ({ name, classId }));
  const there = new Set(found.map((one) => one.class));
  const listed = known.length <= FEW_CLASSES ? known : known.filter(
    ({ name }) => there.has(name) || hidden.has(name)
  );
  const area = at("classes");
  const focused = document.activeElement?.dataset?.name;
  area.replaceChildren(...listed.map(({ name, classId }) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !hidden.has(name);
    box.dataset.name = name;
    box.addEventListener("change", () => {
      box.checked ? hidden.delete(name) : hidden.add(name);
      redraw();
    });
    label.append(box, swatch(classId), `${name} (${counts.get(name) ?? 0})`);
    return label;
  }));
  if (focused) [...area.querySelectorAll("input")].find((one) => one.dataset.name === focused)?.focus();
}

export function drawList(found) {
  at("list").replaceChildren(...found.map((one, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.index = index;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = one.class;
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = one.score.toFixed(3);
    button.append(swatch(one.class_id), name, number);
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
