// The network by ONNX Runtime: on WebGPU where the browser has one, else by WebAssembly, with
// threads where the page is isolated (README.md says how).

const RUNTIME = new URL("../runtime/", import.meta.url);
const NAME = "ort-wasm-simd-threaded.asyncify";
const MOST_THREADS = 8;

// For images of (rows, columns). `wanted` is one of the two; null: the better one that runs.
export async function openNetwork(rows, columns, wanted = null) {
  const ort = await import(new URL("ort.webgpu.min.mjs", RUNTIME).href);
  const [wasm, model] = await Promise.all([
    unpacked(new URL(`${NAME}.wasm.gz`, RUNTIME)),
    content(new URL("../model.onnx", import.meta.url)),
  ]);
  const threads = self.crossOriginIsolated ? navigator.hardwareConcurrency || 1 : 1;
  ort.env.wasm.wasmPaths = { mjs: new URL(`${NAME}.mjs`, RUNTIME).href };
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = Math.min(MOST_THREADS, threads);
  ort.env.logLevel = "error";
  const places = wanted ? [wanted] : (await hasWebGPU()) ? ["webgpu", "wasm"] : ["wasm"];
  let fault;
  for (const place of places) {
    try {
      const options = { executionProviders: [place], logSeverityLevel: 3 }; // errors alone
      const session = await ort.InferenceSession.create(model, options);
      // What is compiled at first, and may fail only then.
      await run(ort, session, new Float32Array(3 * rows * columns), rows, columns);
      const words = ort.env.wasm.numThreads === 1 ? "1 thread" : `${ort.env.wasm.numThreads} threads`;
      return {
        runtime: place === "webgpu" ? "WebGPU" : `WebAssembly, ${words}`,
        run: (pixels) => run(ort, session, pixels, rows, columns),
      };
    } catch (error) {
      fault = error;
    }
  }
  throw fault;
}

async function run(ort, session, pixels, rows, columns) {
  const images = new ort.Tensor("float32", pixels, [1, 3, rows, columns]);
  const outputs = await session.run({ images });
  const [boxes, scores] = await Promise.all([outputs.boxes.getData(), outputs.scores.getData()]);
  return { boxes, scores };
}

// One that is not the processor in disguise, which takes minutes.
async function hasWebGPU() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}

export async function content(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${new URL(address).pathname}: the server answers ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// Some servers send a .gz as what it holds, which the browser has unpacked already.
async function unpacked(address) {
  const bytes = await content(address);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
