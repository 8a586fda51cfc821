// The rung `bigram`, as it writes: the context in, the scores of the next character out. The rungs up to `block` have
// more between its embeddings and its lm_head, each in a file of its own. See modelcraft/bigram.py for the lesson.
import {floats} from "./safetensors.js";
import {add} from "./vectors.js";

export default class Bigram {
  // `config` is that of config.json, `tensors` and `matrices` are the weights.
  constructor(config, tensors, matrices) {
    Object.assign(this, config);
    this.matrices = matrices;
    this.weights = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, floats(tensor)]));
  }

  // Reads the beginning of a text; returns the logits (V,) of the character after it.
  read(ids) {
    this.idx = ids.slice(-this.block_size);  // (T,)
    const tok_emb = this.weights["token_embedding_table.weight"], pos_emb = this.weights["position_embedding_table.weight"];
    const C = this.n_embd;
    const x = this.idx.map((token, t) => {  // (T,) -> (T, C)
      const one = tok_emb.slice(token * C, (token + 1) * C);
      add(one, pos_emb.subarray(t * C, (t + 1) * C));
      return one;
    });
    return this.linear("lm_head", this.forward(x).at(-1));  // (T, C) -> (C,) -> (V,): the last position is asked
  }

  // Reads one more character, and with it the context anew: it has moved on, and every character its position with it.
  step(token) {
    return this.read([...this.idx, token]);
  }

  // (T, C) -> (T, C)
  forward(x) {
    return x;
  }

  // W · x + b, if there is a b
  linear(name, x) {
    const weight = `${name}.weight`, bias = this.weights[`${name}.bias`];
    const out = new Float32Array(this.weights[weight].length / x.length);
    this.matrices.multiply(weight, x, out);
    if (bias) add(out, bias);
    return out;
  }
}
