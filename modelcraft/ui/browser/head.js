// The rung `head`, as it writes. See modelcraft/head.py for the lesson.
import Bigram from "./bigram.js";
import {mix} from "./vectors.js";

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function softmax(scores) {
  const highest = Math.max(...scores), weights = scores.map(score => Math.exp(score - highest));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map(weight => weight / sum);
}

export default class Head extends Bigram {
  forward(x) {
    return this.head("sa_head", x);
  }

  // Lets each position gather from itself and the past, (T, C) -> (T, hs).
  head(name, x) {
    const [q, k, v] = ["query", "key", "value"].map(part => x.map(one => this.linear(`${name}.${part}`, one)));
    const scale = k[0].length ** -0.5;  // 1 / √hs
    return q.map((query, t) => {
      const scores = k.slice(0, t + 1).map(key => dot(query, key) * scale);  // (t + 1,): no future, hence no mask
      return mix(softmax(scores), v);  // (t + 1,), (T, hs) -> (hs,)
    });
  }
}
