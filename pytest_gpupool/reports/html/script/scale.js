// From numbers to places on a drawing.

/** @type {(from: number, to: number, start: number, end: number) => Scale} */
function scale(from, to, start, end) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

// Round numbers from `from` to `to`, about `count` of them.
/** @type {(from: number, to: number, count: number) => Required<Ticks>} */
function ticks(from, to, count) {
  const rough = (to - from) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return { step: 1, at: [from] };
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((each) => each * power >= rough * 0.999) ?? 10);
  return { step, at: within(from, to, step) };
}

// The same for seconds, which are counted in sixties.
/** @type {(from: number, to: number, count: number) => Required<Ticks>} */
function timeTicks(from, to, count) {
  const rough = (to - from) / Math.max(1, count);
  if (rough <= 10) return ticks(from, to, count);
  const steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  const step = steps.find((each) => each >= rough) ?? Math.ceil(rough / 86400) * 86400;
  return { step, at: within(from, to, step) };
}

/** @type {(from: number, to: number, step: number) => number[]} */
function within(from, to, step) {
  const at = [];
  for (let number = Math.ceil(from / step - 1e-9); number * step <= to + step * 1e-9; number += 1) {
    at.push(Number((number * step).toPrecision(12)));
  }
  return at;
}

// A range around values, with some room, not less than a sliver of their size.
/** @type {(values: number[]) => [low: number, high: number]} */
function roomy(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low) * 0.12 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}
