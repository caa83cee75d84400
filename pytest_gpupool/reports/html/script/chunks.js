// The page's chunks: JSON, compressed as zlib does, as base64, a line each; each is read when it is wanted.

// The lines of a block, split when first asked for.
/** @type {Map<string, string[]>} */
const blocks = new Map();

/** @type {(block: string) => string[]} */
function chunksOf(block) {
  const text = document.getElementById(block)?.textContent ?? "";
  const found = blocks.get(block) ?? (text ? text.split("\n") : []);
  blocks.set(block, found);
  return found;
}

/** @type {(line: string) => Promise<any>} */
async function unpacked(line) {
  const bytes = Uint8Array.from(atob(line), (character) => character.charCodeAt(0));
  if (typeof DecompressionStream === "undefined") return JSON.parse(new TextDecoder().decode(inflated(bytes)));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// What DecompressionStream does, for browsers that have none: RFC 1951, within the two bytes of RFC 1950's head.
/** @type {(bytes: Uint8Array) => Uint8Array} */
function inflated(bytes) {
  const input = { bytes, at: 2, bit: 0 };
  /** @type {Output} */
  const output = { bytes: new Uint8Array(bytes.length * 8), size: 0 };
  let isLast = false;
  while (!isLast) {
    isLast = bits(input, 1) === 1;
    const kind = bits(input, 2);
    if (kind === 0) copyStored(input, output);
    else if (kind === 1) inflateBlock(input, output, fixedCodes());
    else if (kind === 2) inflateBlock(input, output, dynamicCodes(input));
    else throw new Error("the page's data are damaged");
  }
  return output.bytes.subarray(0, output.size);
}

/** @type {(input: Input, count: number) => number} */
function bits(input, count) {
  let value = 0;
  for (let place = 0; place < count; place += 1) {
    if (input.at >= input.bytes.length) throw new Error("the page's data are cut off");
    value |= ((input.bytes[input.at] >> input.bit) & 1) << place;
    input.bit += 1;
    if (input.bit === 8) Object.assign(input, { bit: 0, at: input.at + 1 });
  }
  return value;
}

/** @type {(output: Output, byte: number) => void} */
function put(output, byte) {
  if (output.size === output.bytes.length) {
    const larger = new Uint8Array(2 * output.size + 1024);
    larger.set(output.bytes);
    output.bytes = larger;
  }
  output.bytes[output.size] = byte;
  output.size += 1;
}

/** @type {(input: Input, output: Output) => void} */
function copyStored(input, output) {
  if (input.bit) Object.assign(input, { bit: 0, at: input.at + 1 });
  const length = input.bytes[input.at] | (input.bytes[input.at + 1] << 8);
  input.at += 4;
  for (let place = 0; place < length; place += 1) put(output, input.bytes[input.at + place]);
  input.at += length;
}

// Canonical codes from their lengths: how many there are of each length, and the symbols in order.
/** @type {(lengths: number[]) => Codes} */
function codesOf(lengths) {
  const counts = new Array(16).fill(0);
  for (const length of lengths) counts[length] += 1;
  counts[0] = 0;
  const symbols = lengths.map((_, symbol) => symbol).filter((symbol) => lengths[symbol]);
  symbols.sort((one, other) => lengths[one] - lengths[other] || one - other);
  return { counts, symbols };
}

/** @type {(input: Input, codes: Codes) => number} */
function symbolOf(input, { counts, symbols }) {
  let [code, first, at] = [0, 0, 0];
  for (let length = 1; length < 16; length += 1) {
    code |= bits(input, 1);
    if (code - counts[length] < first) return symbols[at + code - first];
    at += counts[length];
    first = (first + counts[length]) << 1;
    code <<= 1;
  }
  throw new Error("the page's data are damaged");
}

/** @type {() => [Codes, Codes]} */
function fixedCodes() {
  const lengths = Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8));
  return [codesOf(lengths), codesOf(new Array(30).fill(5))];
}

/** @type {(input: Input) => [Codes, Codes]} */
function dynamicCodes(input) {
  const [literals, distances, count] = [bits(input, 5) + 257, bits(input, 5) + 1, bits(input, 4) + 4];
  const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const own = new Array(19).fill(0);
  for (let place = 0; place < count; place += 1) own[order[place]] = bits(input, 3);
  const codes = codesOf(own);
  /** @type {number[]} */
  const lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = symbolOf(input, codes);
    if (symbol < 16) {
      lengths.push(symbol);
    } else {
      const [value, base, extra] = symbol === 16 ? [lengths[lengths.length - 1], 3, 2] : symbol === 17 ? [0, 3, 3] : [0, 11, 7];
      for (let left = base + bits(input, extra); left; left -= 1) lengths.push(value);
    }
  }
  return [codesOf(lengths.slice(0, literals)), codesOf(lengths.slice(literals))];
}

// How long a repeat is, and how far back: a base for each symbol, and how many bits more.
const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
/** @type {(symbol: number) => number} */
const lengthBits = (symbol) => (symbol < 8 || symbol === 28 ? 0 : (symbol >> 2) - 1);

/** @type {(input: Input, output: Output, codes: [Codes, Codes]) => void} */
function inflateBlock(input, output, [literals, distances]) {
  for (let symbol = symbolOf(input, literals); symbol !== 256; symbol = symbolOf(input, literals)) {
    if (symbol < 256) {
      put(output, symbol);
    } else {
      const length = LENGTHS[symbol - 257] + bits(input, lengthBits(symbol - 257));
      const code = symbolOf(input, distances);
      const extra = Math.max(0, (code >> 1) - 1);
      const back = (code < 2 ? code : (2 + (code & 1)) << extra) + 1 + bits(input, extra);
      for (let left = length; left; left -= 1) put(output, output.bytes[output.size - back]);
    }
  }
}
