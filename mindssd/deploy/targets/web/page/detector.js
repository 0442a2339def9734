// The detector for a page: it speaks with the worker, which looks.

export class Detector {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.addEventListener("message", ({ data: { id, result, fault } }) => {
      const { done, failed } = this.#waiting.get(id);
      this.#waiting.delete(id);
      fault === undefined ? done(result) : failed(new Error(fault));
    });
    this.#worker.addEventListener("error", (event) => {
      for (const { failed } of this.#waiting.values()) {
        failed(new Error(event.message || "the page's worker cannot start"));
      }
      this.#waiting.clear();
    });
  }

  // The model's description, and what runs it. `wanted` is webgpu or wasm; null: the better one.
  open(wanted = null) {
    return this.#ask("open", { wanted });
  }

  // What is in a picture's file, or in a frame (ImageBitmap, which is taken).
  look(source, lowest, raw = false) {
    const taken = source instanceof ImageBitmap ? [source] : [];
    return this.#ask("look", { source, lowest, raw }, taken);
  }

  #ask(job, given, taken = []) {
    const id = this.#next++;
    return new Promise((done, failed) => {
      this.#waiting.set(id, { done, failed });
      this.#worker.postMessage({ id, job, ...given }, taken);
    });
  }
}
