// A file of weights: eight bytes that say how long the header is, the header in JSON, and the numbers.

// Returns the tensors by their names, each with its type, its shape and its bytes.
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [begin, end]}] of Object.entries(header)) {
    tensors[name] = {dtype, shape, bytes: new Uint8Array(buffer, 8 + length + begin, end - begin)};
  }
  return tensors;
}

// Returns the numbers of a tensor as float32. A bfloat16 is the upper half of a float32.
export function floats({dtype, bytes}) {
  const copy = bytes.slice().buffer;
  if (dtype === "F32") return new Float32Array(copy);
  if (dtype !== "BF16") throw new Error(`Weights stored as ${dtype} cannot be read here.`);
  const upper = new Uint16Array(copy), whole = new Uint32Array(upper.length);
  for (let i = 0; i < upper.length; i++) whole[i] = upper[i] << 16;
  return new Float32Array(whole.buffer);
}

// Returns the numbers of a tensor of whole numbers; those of 64 bits as BigInts.
export function wholes({dtype, bytes}) {
  const copy = bytes.slice().buffer;
  return dtype === "I64" ? new BigInt64Array(copy) : new Int32Array(copy);
}
