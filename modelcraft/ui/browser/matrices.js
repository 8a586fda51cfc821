// Matrix times vector, which is nearly all of a model's work.
//
// Matrices in bfloat16 are kept as they are in WebAssembly's memory, where `product.wasm` (its source is `product.wat`)
// takes eight numbers at a time. Without WebAssembly, and for matrices in float32, plain JavaScript does the same.
import {floats} from "./safetensors.js";

const PAGE = 65536;  // bytes of WebAssembly's memory
const MOST = 8192;   // numbers of a vector
const AT_ONCE = 16;  // numbers of a row that the WebAssembly product takes together

export class Matrices {
  // Keeps the two-dimensional ones of `tensors`; `wasm` is the bytes of product.wasm, or null.
  static async of(tensors, wasm) {
    const made = new Matrices();
    const named = Object.entries(tensors).filter(([, {shape}]) => shape.length === 2);
    const quick = ([, {dtype, shape}]) => wasm && dtype === "BF16" && shape[1] % AT_ONCE === 0 && Math.max(...shape) <= MOST;
    for (const [name, tensor] of named.filter(one => !quick(one))) made.plain[name] = floats(tensor);
    const inMemory = named.filter(quick);
    const size = inMemory.reduce((sum, [, {bytes}]) => sum + bytes.length, 0);
    const memory = new WebAssembly.Memory({initial: Math.ceil((8 * MOST + size) / PAGE)});
    if (inMemory.length) {
      const {instance} = await WebAssembly.instantiate(wasm, {m: {memory}});
      made.run = instance.exports.product;
    }
    made.x = new Float32Array(memory.buffer, 0, MOST);
    made.out = new Float32Array(memory.buffer, 4 * MOST, MOST);
    let place = 8 * MOST;
    for (const [name, {bytes}] of inMemory) {
      new Uint8Array(memory.buffer, place, bytes.length).set(bytes);
      made.places[name] = place;
      place += bytes.length;
    }
    return made;
  }

  constructor() {
    this.plain = {};
    this.places = {};
  }

  // out (rows,) = the matrix `name` (rows, cols) times x (cols,)
  multiply(name, x, out) {
    const rows = out.length, cols = x.length;
    if (name in this.places) {
      this.x.set(x);
      this.run(this.places[name], 0, 4 * MOST, rows, cols);
      out.set(this.out.subarray(0, rows));
      return;
    }
    const weights = this.plain[name];
    for (let row = 0, i = 0; row < rows; row++) {
      let sum = 0;
      for (let col = 0; col < cols; col++, i++) sum += weights[i] * x[col];
      out[row] = sum;
    }
  }
}
