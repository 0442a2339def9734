// Which boxes of the network are detections: mindssd/geometry's selection and box voting, in the
// same precision, so that what lies on the edge falls to the same side.

const VOTE_WIDTH = 0.05; // as geometry/refinement.py has them
const VOTE_SHARE = 0.05;
const f32 = Math.fround;

// Boxes (A · 4) and scores (A · C) of a picture of (height, width) to its detections, best first:
// {class_id, score, box} in its pixels. `filled` is (rows, columns) of the network's image that it
// fills where its aspect is kept. `score` is a threshold, `thresholds` are those of each class.
export function detections(outputs, { height, width }, filled, model, score, thresholds = null) {
  const [rows, columns] = filled ?? [height, width];
  const [netRows, netColumns] = filled ? model.image_size : [height, width];
  const boxes = inPixels(outputs.boxes, netRows, netColumns, rows, columns);
  let found = select(candidates(boxes, outputs.scores, score), boxes, model, thresholds);
  found = found.map((one) => ({ ...one, box: [...boxes.subarray(4 * one.row, 4 * one.row + 4)] }));
  if (model.vote_iou !== null) found = voted(found, boxes, outputs.scores, model);
  const scale = filled ? [f32(width / columns), f32(height / rows)] : null;
  return found.map(({ class_id, score, box }) => ({
    class_id,
    score,
    box: scale ? box.map((x, i) => clip(x * scale[i % 2], i % 2 ? height : width)) : box,
  }));
}

function clip(value, limit) {
  return Math.min(Math.max(f32(value), 0), f32(limit));
}

function inPixels(unit, rows, columns, shownRows, shownColumns) {
  const result = new Float32Array(unit.length);
  for (let i = 0; i < unit.length; i += 1) {
    const [side, limit] = i % 2 ? [rows, shownRows] : [columns, shownColumns];
    result[i] = Math.min(Math.max(f32(unit[i] * side), 0), limit);
  }
  return result;
}

// The pairs of a box with an area and a class whose score is above the threshold, best first; of
// equal scores the earlier box, then the earlier class.
function candidates(boxes, scores, threshold) {
  const numClasses = scores.length / (boxes.length / 4);
  const least = f32(threshold);
  const found = [];
  for (let i = 0; i < scores.length; i += 1) {
    if (!(scores[i] > least)) continue;
    const row = Math.floor(i / numClasses);
    if (isProper(boxes, 4 * row)) found.push({ row, class_id: i % numClasses, score: scores[i] });
  }
  return found.sort((one, other) => other.score - one.score); // stable
}

function isProper(boxes, at) {
  const finite = [0, 1, 2, 3].every((i) => Number.isFinite(boxes[at + i]));
  return finite && boxes[at + 2] > boxes[at] && boxes[at + 3] > boxes[at + 1];
}

// A candidate is suppressed by a better one that is kept of its class; what is left is dropped
// where a better one of any class overlaps it, and only then counted. Whether a candidate is kept
// depends on better ones alone, so all is done in one pass.
export function select(sorted, boxes, model, thresholds = null) {
  const within = f32(model.iou_threshold);
  const across = f32(model.across_classes_iou);
  const ofClass = new Map();
  const kept = [];
  const result = [];
  for (const one of sorted) {
    const rivals = ofClass.get(one.class_id) ?? [];
    if (rivals.some((better) => overlap(boxes, better.row, one.row) > within)) continue;
    rivals.push(one);
    ofClass.set(one.class_id, rivals);
    if (kept.some((better) => overlap(boxes, better.row, one.row) > across)) continue;
    kept.push(one);
    if (thresholds && !(one.score > thresholds[one.class_id])) continue;
    result.push(one);
    if (result.length === model.max_detections) break;
  }
  return result;
}

// IoU as OpenCV's NMS rounds it.
function overlap(boxes, one, other) {
  const [a, b] = [4 * one, 4 * other];
  const width = Math.min(boxes[a + 2], boxes[b + 2]) - Math.max(boxes[a], boxes[b]);
  const height = Math.min(boxes[a + 3], boxes[b + 3]) - Math.max(boxes[a + 1], boxes[b + 1]);
  if (width <= 0 || height <= 0) return 0;
  const common = width * height;
  return f32(1 - f32(1 - common / (area(boxes, a) + area(boxes, b) - common)));
}

function area(boxes, at) {
  return (boxes[at + 2] - boxes[at]) * (boxes[at + 3] - boxes[at + 1]);
}

// Each box moved to the mean of its class's candidates around it, weighted by score and closeness.
// Two may be drawn together: they are selected again.
function voted(found, boxes, scores, model) {
  const numClasses = scores.length / (boxes.length / 4);
  const moved = new Float32Array(4 * found.length);
  const limit = f32(model.vote_iou);
  found.forEach(({ class_id, score, box }, place) => {
    const least = f32(VOTE_SHARE * score);
    const sums = [0, 0, 0, 0];
    let total = 0;
    for (let row = 0; row < boxes.length / 4; row += 1) {
      const vote = scores[row * numClasses + class_id];
      if (!(vote >= least)) continue;
      const other = boxes.subarray(4 * row, 4 * row + 4);
      const iou = overlapOfVote(box, other);
      if (!(iou > limit)) continue;
      const weight = vote * Math.exp(-((1 - iou) ** 2) / VOTE_WIDTH);
      total += weight;
      for (let i = 0; i < 4; i += 1) sums[i] += weight * other[i];
    }
    moved.set(total > 0 ? sums.map((sum) => sum / total) : box, 4 * place);
  });
  const again = found
    .map(({ class_id, score }, row) => ({ row, class_id, score }))
    .filter(({ row }) => isProper(moved, 4 * row));
  return select(again, moved, model).map((one) => ({
    ...one,
    box: [...moved.subarray(4 * one.row, 4 * one.row + 4)],
  }));
}

// IoU in float32 throughout, as geometry/boxes.py has it.
function overlapOfVote(one, other) {
  const width = f32(Math.min(one[2], other[2]) - Math.max(one[0], other[0]));
  const height = f32(Math.min(one[3], other[3]) - Math.max(one[1], other[1]));
  if (!(width > 0 && height > 0)) return 0;
  const common = f32(width * height);
  const [a, b] = [one, other].map((x) => f32(f32(x[2] - x[0]) * f32(x[3] - x[1])));
  return f32(common / f32(f32(a + b) - common));
}
