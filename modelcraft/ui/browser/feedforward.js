// The rung `feedforward`, as it writes. See modelcraft/feedforward.py for the lesson.
import MultiHead from "./multihead.js";

export default class FeedForward extends MultiHead {
  forward(x) {
    return this.think("ffwd", super.forward(x));
  }

  // Computes with each position by itself, (T, C) -> (T, C).
  think(name, x) {
    return x.map(one => {
      const hidden = this.linear(`${name}.net.0`, one).map(number => Math.max(0, number));  // (C,) -> (4 · C,), ReLU
      return this.linear(`${name}.net.2`, hidden);  // (4 · C,) -> (C,)
    });
  }
}
