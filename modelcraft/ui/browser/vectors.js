// Sums and means of vectors, which several rungs need.

// x = x + more
export function add(x, more) {
  for (let i = 0; i < x.length; i++) x[i] += more[i];
}

// Returns Σ wei[s] · x[s] over as many vectors of x (T, C) as there are weights: (C,).
export function mix(wei, x) {
  const out = new Float32Array(x[0].length);
  wei.forEach((weight, s) => {
    for (let i = 0; i < out.length; i++) out[i] += weight * x[s][i];
  });
  return out;
}
