// The rung `gpt`, as it writes: one character in, the scores of the next one out. See modelcraft/gpt.py for the lesson.
import {floats} from "./safetensors.js";
import {add} from "./vectors.js";

const ROPE_BASE = 1024;
const EPSILON = 1.1920929e-7;  // of float32, which keeps a norm from dividing by zero

// Scales `size` numbers of x from `start` on to a mean square of 1.
function norm(x, start = 0, size = x.length) {
  let squares = 0;
  for (let i = start; i < start + size; i++) squares += x[i] * x[i];
  const scale = 1 / Math.sqrt(squares / size + EPSILON);
  for (let i = start; i < start + size; i++) x[i] *= scale;
}

// Turns pairs of numbers of a head, which begins at `start`, by the angles of its position.
function rotate(x, start, cos, sin) {
  const half = cos.length;
  for (let i = start; i < start + half; i++) {
    const a = x[i], b = x[i + half];
    x[i] = a * cos[i - start] - b * sin[i - start];
    x[i + half] = a * sin[i - start] + b * cos[i - start];
  }
}

export default class GPT {
  // `config` is that of config.json, `tensors` and `matrices` are the weights.
  constructor(config, tensors, matrices) {
    Object.assign(this, config);
    this.matrices = matrices;
    this.embedding = floats(tensors["token_embedding_table.weight"]);  // (V, C)
    const C = this.n_embd, hs = C / this.n_head, kv = this.n_kv_head * hs;
    this.head_size = hs;
    this.freqs = Float32Array.from({length: hs / 2}, (_, i) => ROPE_BASE ** (-i / (hs / 2)));
    this.cos = new Float32Array(hs / 2);
    this.sin = new Float32Array(hs / 2);
    // A ring: the keys and values of a new character take the place of those that leave the context.
    this.keys = Array.from({length: this.n_layer}, () => new Float32Array(this.block_size * kv));
    this.values = Array.from({length: this.n_layer}, () => new Float32Array(this.block_size * kv));
    this.x = new Float32Array(C);
    this.normed = new Float32Array(C);
    this.q = new Float32Array(C);
    this.k = new Float32Array(kv);
    this.v = new Float32Array(kv);
    this.gathered = new Float32Array(C);
    this.branch = new Float32Array(C);
    this.hidden = new Float32Array(4 * C);
    this.wei = new Float32Array(this.block_size);
    this.logits = new Float32Array(this.vocab_size);
  }

  // Reads the beginning of a text; returns the logits (V,) of the character after it.
  read(ids) {
    this.position = 0;
    let logits = null;
    for (const id of ids.slice(-this.block_size)) logits = this.step(id);  // what is longer, the server crops, too
    return logits;
  }

  // Reads one more character; returns the logits (V,) of the one after it.
  step(token) {
    const {x, n_embd: C, logit_cap: cap, logits} = this;
    this.freqs.forEach((freq, i) => {
      const angle = Math.fround(this.position * freq);
      this.cos[i] = Math.cos(angle);
      this.sin[i] = Math.sin(angle);
    });
    x.set(this.embedding.subarray(token * C, (token + 1) * C));
    norm(x);
    for (let layer = 0; layer < this.n_layer; layer++) {
      this.attend(layer);
      this.think(layer);
    }
    this.position++;
    this.normed.set(x);
    norm(this.normed);
    this.matrices.multiply("lm_head.weight", this.normed, logits);
    for (let i = 0; i < logits.length; i++) logits[i] = cap * Math.tanh(logits[i] / cap);
    return logits;
  }

  // x = x + sa(norm(x))
  attend(layer) {
    const {normed, q, k, v, head_size: hs, n_head, n_kv_head, block_size, wei, gathered} = this;
    const keys = this.keys[layer], values = this.values[layer], kv = k.length;
    const name = `blocks.${layer}.sa`, scale = hs ** -0.5;
    normed.set(this.x);
    norm(normed);
    this.matrices.multiply(`${name}.query.weight`, normed, q);
    this.matrices.multiply(`${name}.key.weight`, normed, k);
    this.matrices.multiply(`${name}.value.weight`, normed, v);
    for (const vector of [q, k]) {
      for (let start = 0; start < vector.length; start += hs) {
        rotate(vector, start, this.cos, this.sin);
        norm(vector, start, hs);
      }
    }
    const slot = this.position % block_size, seen = Math.min(this.position + 1, block_size);
    keys.set(k, slot * kv);
    values.set(v, slot * kv);
    gathered.fill(0);
    for (let head = 0; head < n_head; head++) {
      const own = head * hs, shared = Math.floor(head * n_kv_head / n_head) * hs;
      let highest = -Infinity, sum = 0;
      for (let t = 0; t < seen; t++) {  // wei = q · kᵀ / √hs
        let score = 0;
        for (let i = 0, at = t * kv + shared; i < hs; i++) score += q[own + i] * keys[at + i];
        wei[t] = score * scale;
        if (wei[t] > highest) highest = wei[t];
      }
      for (let t = 0; t < seen; t++) sum += wei[t] = Math.exp(wei[t] - highest);  // softmax
      for (let t = 0; t < seen; t++) {
        const weight = wei[t] / sum;
        for (let i = 0, at = t * kv + shared; i < hs; i++) gathered[own + i] += weight * values[at + i];
      }
    }
    this.matrices.multiply(`${name}.proj.weight`, gathered, this.branch);
    add(this.x, this.branch);
  }

  // x = x + ffwd(norm(x))
  think(layer) {
    const {normed, hidden} = this, name = `blocks.${layer}.ffwd`;
    normed.set(this.x);
    norm(normed);
    this.matrices.multiply(`${name}.fc.weight`, normed, hidden);
    for (let i = 0; i < hidden.length; i++) hidden[i] = hidden[i] > 0 ? hidden[i] ** 2 : 0;  // ReLU²
    this.matrices.multiply(`${name}.proj.weight`, hidden, this.branch);
    add(this.x, this.branch);
  }
}
