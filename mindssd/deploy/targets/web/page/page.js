// The page of an exported model: it looks at pictures itself.

import { Detector } from "./detector.js";
import { at } from "./drawing.js";
import { counted, say, setModel, start } from "./viewer.js";

at("unstarted").remove();
const detector = new Detector();
let classes = [];

async function look(blob, lowest, frame) {
  const source = frame ? await createImageBitmap(frame) : blob;
  const found = await detector.look(source, lowest);
  const named = (one) => ({ class: classes[one.class_id], ...one });
  const own = found.own && found.own.map(named);
  return { ...found, detections: found.detections.map(named), own };
}

async function open() {
  say("Loading the model …");
  try {
    const model = await detector.open(new URLSearchParams(location.search).get("runtime"));
    const [height, width] = model.image_size;
    classes = model.classes;
    const about = `${counted(classes)}, ${width} × ${height}, ${model.runtime}`;
    setModel({ ...model, about });
    say("");
  } catch (error) {
    say(`The model cannot be loaded: ${error.message}`, true);
  }
}

start(look);
open();
