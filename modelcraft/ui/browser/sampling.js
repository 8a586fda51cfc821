// Draws the next character as modelcraft/sampling.py does: the same seed gives the same text.

// Returns the probabilities (V,) of logits (V,), with temperature, top-k and top-p applied.
export function distribution(logits, {temperature, topK = 0, topP = 1}) {
  const highest = Math.max(...logits);
  let scaled = Array.from(logits, one => (one - highest) / Math.max(temperature, 1.1754944e-38));
  if (topK && topK < scaled.length) {
    const kth = [...scaled].sort((a, b) => b - a)[topK - 1];
    scaled = scaled.map(one => one < kth ? -Infinity : one);
  }
  const weights = scaled.map(Math.exp), sum = weights.reduce((a, b) => a + b);
  const probs = weights.map(one => one / sum);
  if (topP >= 1) return probs;
  // A character stays if those likelier than it have less than topP together.
  let before = 0, kept = 0;
  const stays = new Set();
  for (const token of probs.map((_, i) => i).sort((a, b) => probs[b] - probs[a])) {
    if (before >= topP && before > 0) break;
    stays.add(token);
    before += probs[token];
    kept += probs[token];
  }
  return probs.map((one, i) => stays.has(i) ? one / kept : 0);
}

// Returns a token: the likeliest at temperature 0, else the one on which a dart from `generator` lands.
export function sample(logits, params, generator) {
  if (params.temperature === 0) return logits.indexOf(Math.max(...logits));
  const probs = distribution(logits, params), total = probs.reduce((a, b) => a + b);
  const dart = generator.uniform() * total;
  let end = 0;
  for (let token = 0; token < probs.length; token++) {
    end += probs[token];
    if (end > dart) return token;
  }
  return probs.indexOf(Math.max(...probs));
}

// The Mersenne Twister (Matsumoto & Nishimura 1998), from which torch draws its random numbers on a CPU.
export class Generator {
  constructor(seed) {
    const state = new Uint32Array(624);
    this.state = state;
    state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    this.next = 624;
  }

  // Returns a number from 0 up to 1, of 24 bits, as torch.rand makes a float32.
  uniform() {
    return (this.bits() & 0xffffff) / 0x1000000;
  }

  bits() {
    if (this.next === 624) this.refill();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  refill() {
    const state = this.state;
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}
