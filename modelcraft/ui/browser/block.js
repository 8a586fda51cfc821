// The rungs `block` and `gpt-video`, as they write. See modelcraft/block.py for the lesson.
import Residual from "./residual.js";

const EPSILON = 1e-5;  // keeps a norm from dividing by zero

export default class Block extends Residual {
  forward(x) {
    return this.norm("ln_f", super.forward(x));
  }

  // Brings each position to mean 0 and standard deviation 1, then scales it by γ and adds β, (T, C) -> (T, C).
  norm(name, x) {
    const gamma = this.weights[`${name}.weight`], beta = this.weights[`${name}.bias`];
    return x.map(one => {
      const mean = one.reduce((sum, number) => sum + number, 0) / one.length;
      const variance = one.reduce((sum, number) => sum + (number - mean) ** 2, 0) / one.length;
      const scale = 1 / Math.sqrt(variance + EPSILON);
      return one.map((number, i) => gamma[i] * (number - mean) * scale + beta[i]);
    });
  }
}
