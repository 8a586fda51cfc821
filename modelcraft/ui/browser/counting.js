// The rung `counting`, as it writes. See modelcraft/counting.py for the lesson, and modelcraft/ngrams.py for the table.
//
// An n-gram is a number, its characters are the digits 1 to V in base V + 1. It may have 63 bits: hence the BigInts.
import {wholes} from "./safetensors.js";

export default class Counting {
  // `tensors` are the longest n-grams, in rising order, and how often each was seen; the shorter ones are their endings.
  constructor(config, tensors) {
    Object.assign(this, config);
    this.base = BigInt(this.vocab_size + 1);
    this.tables = [];  // for a context of 0, 1, ... characters
    let keys = wholes(tensors.keys), counts = wholes(tensors.counts);  // (entries,) each
    for (let length = this.block_size + 1; length > 0; length--) {
      const digit = this.base ** BigInt(length - 1);  // the first digit's place value
      let whole = 0;
      while (keys[whole] < digit) whole++;  // n-grams before this one start before the text
      this.tables.unshift(discounted(keys.subarray(whole), counts.subarray(whole), this.base));
      // Drop the first character: the number of different ones is the count of the shorter n-gram.
      const endings = keys.map(key => key % digit).sort(), starts = [];
      for (let i = 0; i < endings.length; i++) if (endings[i] !== endings[i - 1]) starts.push(i);
      keys = BigInt64Array.from(starts, start => endings[start]);
      counts = Int32Array.from(starts, (start, i) => (starts[i + 1] ?? endings.length) - start);
    }
  }

  // Reads the beginning of a text; returns the logits log p (V,) of the character after it.
  read(ids) {
    this.idx = ids.slice(-this.block_size);  // (T,)
    const {base} = this;
    let p = new Float64Array(this.vocab_size).fill(1 / this.vocab_size), context = 0n;  // the even guess
    for (let length = 0; length <= this.idx.length; length++) {
      if (length) context += BigInt(this.idx.at(-length) + 1) * base ** BigInt(length - 1);
      const {ngrams, shares} = this.tables[length], any = context * base;
      let i = place(ngrams, any);
      if (ngrams[i] !== any) break;  // never seen, and so no longer one was
      const gamma = shares[i];
      p = p.map(one => gamma * one);
      for (i++; ngrams[i] < any + base; i++) p[Number(ngrams[i] - any) - 1] += shares[i];
    }
    return p.map(Math.log);
  }

  // Reads one more character; returns the logits (V,) of the one after it.
  step(token) {
    return this.read([...this.idx, token]);
  }
}

// Turns the counts (M,) of n-grams of one length into shares (c − D) / c(h). Before those of a context h is `h 0`, and
// its share is γ(h), what h leaves to the shorter context.
function discounted(keys, counts, base) {
  const n = [0, 0, 0, 0, 0, 0];  // n[k]: n-grams seen k times
  for (const count of counts) n[Math.min(count, 5)]++;
  const discounts = [1, 2, 3].map(k => {  // Chen & Goodman's D1, D2, D3+
    const discount = k - (k + 1) * n[1] / Math.max(1, n[1] + 2 * n[2]) * n[k + 1] / n[k];
    return discount > 0 && discount < k ? discount : k / 2;  // the text may be too small for an estimate
  });
  const taken = count => discounts[Math.min(count, 3) - 1];
  const ngrams = new BigInt64Array(2 * keys.length), shares = new Float32Array(2 * keys.length);
  let size = 0;
  for (let i = 0, end = 0; i < keys.length;) {
    const any = keys[i] / base * base;
    let total = 0, saved = 0;
    for (; keys[end] < any + base; end++) {
      total += counts[end];
      saved += taken(counts[end]);
    }
    ngrams[size] = any;
    shares[size++] = saved / total;
    for (; i < end; i++) {
      ngrams[size] = keys[i];
      shares[size++] = (counts[i] - taken(counts[i])) / total;
    }
  }
  return {ngrams: ngrams.subarray(0, size), shares: shares.subarray(0, size)};
}

// Returns the place of the first number of `sorted` that is not below `wanted`, by halving.
function place(sorted, wanted) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
