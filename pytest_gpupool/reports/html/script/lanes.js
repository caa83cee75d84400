// Who ran what when: a lane per device, a row in it per worker that had it at the same time as another.

const NO_DEVICE = -1;

/** @type {() => number} */
function runEnd() {
  let end = 1;
  data.tests.start.forEach((start, place) => {
    if (start !== null) end = Math.max(end, start + (data.tests.took[place] ?? 0));
  });
  return data.workers.reduce((latest, worker) => Math.max(latest, worker.end ?? 0), end);
}

/** @type {() => Lane[]} */
function lanes() {
  /** @type {Map<number, Lane>} */
  const found = new Map(data.devices.map((device, place) => [place, newLane(device)]));
  data.tests.start.forEach((start, place) => {
    if (start === null) return;
    const bar = { place, from: start, to: start + (data.tests.took[place] ?? 0), outcome: data.tests.outcome[place] };
    const devices = data.tests.devices[place];
    for (const device of devices.length ? devices : [NO_DEVICE]) {
      const lane = found.get(device) ?? newLane(null);
      found.set(device, lane);
      lane.bars.push(bar);
    }
  });
  for (const worker of data.workers) {
    for (const device of worker.devices) addWorker(present(found.get(device)), worker);
  }
  const all = [...found.values()];
  for (const each of all) {
    each.ends = each.ends.filter((end) => !each.bars.some((bar) => isEndOf(bar, end)));
    intoRows(each);
  }
  return all;
}

/** @type {(device: Device | null) => Lane} */
function newLane(device) {
  const { label, name, quarantined } = device ?? { label: "no device", name: "", quarantined: "" };
  return { label, name, quarantined, device: device !== null, bars: [], waits: [], ends: [], rows: [] };
}

/** @type {(lane: Lane, worker: RunWorker) => void} */
function addWorker(lane, worker) {
  if (worker.start !== null && worker.wait > 0) {
    lane.waits.push({ from: worker.start - worker.wait, to: worker.start, worker: worker.id });
  }
  if (worker.end !== null && (worker.exit === "crashed" || worker.exit === "killed")) {
    lane.ends.push({ at: worker.end, worker: worker.id, exit: worker.exit });
  }
}

// Whether a worker's end is told by its test already.
/** @type {(bar: Bar, end: WorkerEnd) => boolean} */
function isEndOf(bar, end) {
  const outcome = data.outcomes[bar.outcome];
  return (outcome === "crashed" || outcome === "timeout") && data.tests.worker[bar.place] === end.worker;
}

// Workers that share a device at a time get rows of their own; a successor takes its predecessor's.
/** @type {(lane: Lane) => void} */
function intoRows(lane) {
  /** @type {Map<string, Interval & { bars: Bar[] }>} */
  const spans = new Map();
  for (const bar of lane.bars) {
    const worker = data.tests.worker[bar.place];
    const span = spans.get(worker) ?? { from: bar.from, to: bar.to, bars: [] };
    spans.set(worker, span);
    span.from = Math.min(span.from, bar.from);
    span.to = Math.max(span.to, bar.to);
    span.bars.push(bar);
  }
  /** @type {number[]} */
  const ends = [];
  for (const span of [...spans.values()].sort((one, other) => one.from - other.from)) {
    const free = ends.findIndex((end) => end <= span.from);
    const row = free < 0 ? ends.length : free;
    ends[row] = span.to;
    lane.rows[row] = (lane.rows[row] ?? []).concat(span.bars);
  }
  if (!lane.rows.length) lane.rows.push([]);
}

// Bars that can be told apart, and columns of those that are too thin for it.
/** @type {(bars: Bar[], across: Scale, from: number, to: number) => { single: Bar[]; many: BarColumn[] }} */
function gathered(bars, across, from, to) {
  const THIN = 3;
  /** @type {Bar[]} */
  const single = [];
  /** @type {Map<number, BarColumn>} */
  const columns = new Map();
  for (const bar of bars) {
    if (bar.to < from || bar.from > to) continue;
    const width = across(bar.to) - across(bar.from);
    if (width >= THIN) {
      single.push(bar);
      continue;
    }
    const column = Math.floor(across(bar.from) / THIN);
    const many = columns.get(column) ?? { x: column * THIN, width: THIN, busy: 0, bars: [] };
    many.busy += width;
    many.bars.push(bar);
    columns.set(column, many);
  }
  return { single, many: [...columns.values()] };
}

// How many devices had a test: [moment, number] where that changes.
/** @type {(all: Lane[]) => [moment: number, number: number][]} */
function busyOverTime(all) {
  /** @type {[moment: number, step: number][]} */
  const steps = [];
  for (const lane of all.filter((each) => each.device)) {
    for (const [from, to] of merged(lane.bars)) steps.push([from, 1], [to, -1]);
  }
  steps.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  /** @type {[moment: number, number: number][]} */
  const points = [[0, 0]];
  let now = 0;
  for (const [moment, step] of steps) points.push([moment, (now += step)]);
  return points;
}

/** @type {(bars: Bar[]) => [from: number, to: number][]} */
function merged(bars) {
  /** @type {[from: number, to: number][]} */
  const spans = [];
  for (const { from, to } of [...bars].sort((one, other) => one.from - other.from)) {
    const last = spans.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else spans.push([from, to]);
  }
  return spans;
}

// The mean of such a number over each of `count` equal parts of the time.
/** @type {(points: [moment: number, number: number][], end: number, count: number) => number[]} */
function meansOverTime(points, end, count) {
  /** @type {number[]} */
  const sums = new Array(count).fill(0);
  const part = end / count;
  points.forEach(([from, number], place) => {
    const to = points[place + 1]?.[0] ?? from;
    for (let at = Math.max(0, Math.floor(from / part)); at < count && at * part < to; at += 1) {
      sums[at] += number * Math.max(0, Math.min(to, (at + 1) * part) - Math.max(from, at * part));
    }
  });
  return sums.map((sum) => sum / part);
}
