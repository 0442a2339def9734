// Pixels as the network takes them, to the bit what mindssd/images.py makes of them on x86.
// A picture is {data, width, height}: 4 bytes a pixel, as a canvas gives them.

const BITS = 11; // of OpenCV's weights, which are whole numbers

// Python's and NumPy's: a half goes to the even neighbour.
export function round(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

// OpenCV's INTER_LINEAR, (rows · columns · 3) bytes.
export function resize({ data, width, height }, columns, rows) {
  const result = new Uint8Array(3 * rows * columns);
  if (width === columns && height === rows) {
    for (let from = 0, to = 0; to < result.length; from += 4, to += 3) {
      for (let c = 0; c < 3; c += 1) result[to + c] = data[from + c];
    }
    return result;
  }
  if (width === 2 * columns && height === 2 * rows) return halved(data, columns, rows);
  const across = withinEdges(weights(width, columns), width);
  const down = weights(height, rows);
  const line = 3 * columns;
  const mixed = [new Int32Array(line), new Int32Array(line)];
  const holds = [-1, -1];
  for (let y = 0, to = 0; y < rows; y += 1) {
    const first = Math.floor(down.places[y]);
    const wanted = [first, first + 1].map((row) => Math.min(Math.max(row, 0), height - 1));
    if (holds[1] === wanted[0] && holds[0] !== wanted[0]) {
      mixed.reverse();
      holds.reverse();
    }
    wanted.forEach((row, place) => {
      if (holds[place] === row) return;
      mixRow(data, 4 * width * row, across, mixed[place]);
      holds[place] = row;
    });
    const [upper, lower] = mixed;
    const [a, b] = [down.first[y], down.second[y]];
    for (let i = 0; i < line; i += 1, to += 1) {
      result[to] = (((a * (upper[i] >> 4)) >> 16) + ((b * (lower[i] >> 4)) >> 16) + 2) >> 2;
    }
  }
  return result;
}

// OpenCV takes the mean of four pixels where both sides are halved.
function halved(data, columns, rows) {
  const result = new Uint8Array(3 * rows * columns);
  for (let y = 0, to = 0; y < rows; y += 1) {
    for (let x = 0; x < columns; x += 1) {
      const from = 4 * (2 * y * 2 * columns + 2 * x);
      const below = from + 8 * columns;
      for (let c = 0; c < 3; c += 1, to += 1) {
        const sum = data[from + c] + data[from + 4 + c] + data[below + c] + data[below + 4 + c];
        result[to] = (sum + 2) >> 2;
      }
    }
  }
  return result;
}

// For each place of the result: where its first neighbour is, and the weights of both.
function weights(from, to) {
  const scale = 1 / (to / from);
  const places = new Int32Array(to);
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  for (let i = 0; i < to; i += 1) {
    const exact = Math.fround((i + 0.5) * scale - 0.5);
    places[i] = Math.floor(exact);
    const share = Math.fround(exact - places[i]);
    first[i] = round(Math.fround(1 - share) * 2 ** BITS);
    second[i] = round(share * 2 ** BITS);
  }
  return { places, first, second };
}

// Across, a place beyond the edge is the edge's own pixel; down, both neighbours are.
function withinEdges({ places, first, second }, width) {
  for (let i = 0; i < places.length; i += 1) {
    if (places[i] >= 0 && places[i] < width - 1) continue;
    places[i] = places[i] < 0 ? 0 : width - 1;
    first[i] = 2 ** BITS;
    second[i] = 0;
  }
  return { places, first, second };
}

function mixRow(data, start, { places, first, second }, result) {
  for (let x = 0, to = 0; x < places.length; x += 1) {
    const left = start + 4 * places[x];
    const right = second[x] === 0 ? left : left + 4;
    for (let c = 0; c < 3; c += 1, to += 1) {
      result[to] = data[left + c] * first[x] + data[right + c] * second[x];
    }
  }
}

// The rows and columns of the network's image that a letterboxed picture fills.
export function letterboxedSize(height, width, rows, columns) {
  const canvas = [
    Math.max(height, round((width * rows) / columns)),
    Math.max(width, round((height * columns) / rows)),
  ];
  return [
    Math.max(1, round((height * rows) / canvas[0])),
    Math.max(1, round((width * columns) / canvas[1])),
  ];
}

// Into the upper left of (rows, columns) with the aspect kept; the rest is the mean colour.
export function letterbox(picture, columns, rows, mean) {
  const [filledRows, filledColumns] = letterboxedSize(picture.height, picture.width, rows, columns);
  const shown = resize(picture, filledColumns, filledRows);
  if (filledRows === rows && filledColumns === columns) return shown;
  const fill = mean.map((value) => round(255 * value));
  const result = new Uint8Array(3 * rows * columns);
  for (let i = 0; i < result.length; i += 1) result[i] = fill[i % 3];
  for (let y = 0; y < filledRows; y += 1) {
    const line = shown.subarray(3 * y * filledColumns, 3 * (y + 1) * filledColumns);
    result.set(line, 3 * y * columns);
  }
  return result;
}

// (x - 255 · mean) / (255 · std) channel by channel: (3, rows, columns) float32.
export function normalise(pixels, mean, std) {
  const area = pixels.length / 3;
  const result = new Float32Array(pixels.length);
  for (let c = 0; c < 3; c += 1) {
    const factor = Math.fround(1 / (255 * std[c]));
    const shift = Math.fround(mean[c] / std[c]);
    const table = Float32Array.from({ length: 256 }, (_, x) => Math.fround(x * factor) - shift);
    for (let i = 0; i < area; i += 1) result[c * area + i] = table[pixels[3 * i + c]];
  }
  return result;
}

// What the network is given of a picture, by the model's description.
export function prepare(picture, { image_size: [rows, columns], mean, std, keeps_aspect: keeps }) {
  const pixels = keeps
    ? letterbox(picture, columns, rows, mean)
    : resize(picture, columns, rows);
  return normalise(pixels, mean, std);
}
