// Runs a model beside the page, which stays free to draw and to listen.
//
// The page sends {do: "load", script, config, weights} (the script is a file beside this one, the weights are an address),
// {do: "write", text, ids, params} and {do: "stop"}. The worker answers {loaded, total} while bytes arrive, {ready: true,
// simd}, {text, ids, speed} for what it has written of a text, which has a number, since the last answer, at the end with
// {done: true}, or {problem}, a sentence.
import {Matrices} from "./matrices.js";
import {readTensors} from "./safetensors.js";
import {Generator, sample} from "./sampling.js";

const TOLD_MS = 33;  // between two answers: often enough for a reader

let model = null;
let writing = 0;  // the number of the text that is written now

// Fetches all bytes of an address, and says how many have arrived.
async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The weights did not arrive (${response.status}); load the page again.`);
  const total = Number(response.headers.get("content-length")) || 0, parts = [];
  let loaded = 0;
  for (const reader = response.body.getReader();;) {
    const {done, value} = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    postMessage({loaded, total});
  }
  return await new Blob(parts).arrayBuffer();
}

async function productCode() {
  try {
    const response = await fetch(new URL("product.wasm", import.meta.url));
    const code = await response.arrayBuffer();
    return WebAssembly.validate(code) ? code : null;  // a browser without SIMD
  } catch {
    return null;
  }
}

async function load({script, config, weights}) {
  const [buffer, code, {default: Model}] = await Promise.all([fetched(weights), productCode(), import(`./${script}`)]);
  const tensors = readTensors(buffer);
  const matrices = await Matrices.of(tensors, code);
  model = new Model(config, tensors, matrices);
  postMessage({ready: true, simd: Boolean(matrices.run)});
}

async function write({text, ids, params}) {
  const mine = ++writing, generator = new Generator(params.seed);
  let logits = model.read(ids), last = performance.now(), count = 0, seconds = 0, fresh = [];
  const begun = performance.now();
  while (count < params.length) {
    const id = sample(logits, params, generator);
    fresh.push(id);
    count++;
    if (count < params.length) logits = model.step(id);
    if (performance.now() - last >= TOLD_MS) {
      seconds = (performance.now() - begun) / 1000;
      postMessage({text, ids: fresh, speed: count / seconds});
      fresh = [];
      await new Promise(resolve => setTimeout(resolve));  // hear whether it is to stop
      if (mine !== writing) return;
      last = performance.now();
    }
  }
  postMessage({text, ids: fresh, speed: count / ((performance.now() - begun) / 1000), done: true});
}

addEventListener("message", async ({data}) => {
  try {
    if (data.do === "load") await load(data);
    if (data.do === "write") await write(data);
    if (data.do === "stop") writing++;
  } catch (error) {
    postMessage({text: data.text, problem: error.message});
  }
});
