// The rung `multihead`, as it writes. See modelcraft/multihead.py for the lesson.
import Head from "./head.js";

export default class MultiHead extends Head {
  forward(x) {
    return this.attend("sa_heads", x);
  }

  // Gathers with every head, and mixes what they found, (T, C) -> (T, C).
  attend(name, x) {
    const heads = Array.from({length: this.n_head}, (_, i) => this.head(`${name}.heads.${i}`, x));  // n_head × (T, hs)
    return x.map((_, t) => {
      const out = heads.flatMap(head => [...head[t]]);  // n_head × (hs,) -> (C,)
      return this.linear(`${name}.proj`, out);
    });
  }
}
