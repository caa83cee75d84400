// The timeline: bars on the lanes of devices, which can be zoomed, moved and walked through by key.

const BAD = new Set(["failed", "error", "crashed", "timeout"]);

/** @type {DrawSection} */
function timeline(section) {
  const all = lanes();
  if (!all.some((lane) => lane.bars.length || lane.waits.length)) return false;
  const whole = { from: Math.min(0, ...all.flatMap((lane) => lane.waits.map((wait) => wait.from))), to: runEnd() };
  /** @type {TimelineState} */
  const state = { view: { ...whole }, whole, chosen: null, order: inOrder(all), under: new Map() };
  const keys = "Arrow keys move, + and - zoom, 0 shows all, n and p choose a test, Enter goes to it.";
  const readout = element("p", { class: "readout", "aria-live": "polite" }, `Each bar is a test. ${keys}`);
  const holder = element("div", {
    class: "chart",
    tabindex: 0,
    role: "group",
    "aria-label": `Timeline of devices. ${keys}`,
  });
  section.append(
    zoomButtons(state, () => redraw()),
    holder,
    readout,
    timelineLegend(all),
  );
  const redraw = keepDrawn(holder, (width) => holder.replaceChildren(drawLanes(all, state, width)));
  listen(holder, state, readout, () => redraw());
  return true;
}

/** @type {(all: Lane[]) => Bar[]} */
function inOrder(all) {
  const bars = new Map(all.flatMap((lane) => lane.bars).map((bar) => [bar.place, bar]));
  return [...bars.values()].sort((one, other) => one.from - other.from);
}

/** @type {(all: Lane[], state: TimelineState, width: number) => SVGElement} */
function drawLanes(all, state, width) {
  const row = all.length > 16 ? 14 : 22;
  const gap = all.length > 16 ? 4 : 8;
  const longest = Math.max(...all.map((lane) => lane.label.length));
  const left = Math.min(width < 600 ? 96 : 190, longest * 7 + 32);
  const rows = all.reduce((count, lane) => count + lane.rows.length, 0);
  const bottom = rows * row + all.length * gap;
  const across = scale(state.view.from, state.view.to, left, width - 12);
  const svg = drawing(
    width,
    bottom + 40,
    `Timeline: ${counted(state.order.length, "test")} on ${counted(all.length, "lane")}`,
  );
  const clip = shape(
    "clipPath",
    { id: "lanes" },
    shape("rect", { x: left, y: 0, width: width - 12 - left, height: bottom }),
  );
  svg.append(shape("defs", {}, clip), timeAxis(state.view, across, bottom, width));
  const inside = shape("g", { "clip-path": "url(#lanes)" });
  svg.append(inside);
  state.under = new Map();
  let top = 0;
  for (const lane of all) {
    svg.append(laneLabel(lane, top, row, left));
    drawLane(lane, { inside, across, top, row, left, right: width - 12, state });
    top += lane.rows.length * row + gap;
  }
  return svg;
}

/** @type {(view: Interval, across: Scale, bottom: number, width: number) => SVGElement} */
function timeAxis(view, across, bottom, width) {
  const { step, at } = timeTicks(view.from, view.to, width / 110);
  const group = shape("g");
  for (const moment of at) {
    group.append(shape("path", { class: "grid", d: `M${across(moment)} 0V${bottom}` }));
    group.append(shape("text", { x: across(moment), y: bottom + 16, "text-anchor": "middle" }, clock(moment, step)));
  }
  group.append(shape("text", { x: width - 12, y: bottom + 34, "text-anchor": "end" }, "since the run's start"));
  return group;
}

/** @type {(lane: Lane, top: number, row: number, left: number) => SVGElement} */
function laneLabel(lane, top, row, left) {
  const most = Math.floor((left - 32) / 7);
  const text = lane.label.length > most ? `${lane.label.slice(0, most - 1)}…` : lane.label;
  const group = shape("g", {}, shape("text", { class: "label", x: 20, y: top + row / 2 + 4.5 }, text));
  if (lane.quarantined) group.append(symbol("quarantined", 9, top + row / 2));
  const note = lane.quarantined ? `; quarantined: it ${lane.quarantined}` : "";
  return titled(group, `${lane.label} ${lane.name}${note}`.trim());
}

/** @type {(lane: Lane, place: LanePlace) => void} */
function drawLane(lane, place) {
  const { inside, across, top, row, left, right, state } = place;
  /** @type {LaneSymbol[]} */
  const symbols = [];
  const height = row - 2;
  lane.rows.forEach((bars, number) => {
    const y = top + number * row + 1;
    inside.append(shape("rect", { class: "lane", x: left, y, width: right - left, height }));
    if (number === 0) lane.waits.forEach((wait) => inside.append(drawWait(wait, across, y, height)));
    const { single, many } = gathered(bars, across, state.view.from, state.view.to);
    for (const column of many) drawMany(column, { inside, y, height, state, symbols });
    for (const bar of single) drawBar(bar, { inside, across, y, height, state, symbols, left, right });
  });
  for (const end of lane.ends) symbols.push([across(end.at), top + row / 2, "crashed", `${end.worker} ${end.exit}`]);
  drawSymbols(symbols, inside);
}

/** @type {(wait: Lane["waits"][number], across: Scale, y: number, height: number) => SVGElement} */
function drawWait(wait, across, y, height) {
  const rect = { class: "wait", x: across(wait.from), y, width: across(wait.to) - across(wait.from), height };
  return titled(shape("rect", rect), `${wait.worker} waited ${seconds(wait.to - wait.from)} for its lease`);
}

/** @type {(bar: Bar, place: BarPlace & Pick<LanePlace, "across" | "left" | "right">) => void} */
function drawBar(bar, { inside, across, y, height, state, symbols, left, right }) {
  const x = across(bar.from);
  const width = across(bar.to) - x;
  const name = data.outcomes[bar.outcome];
  const rect = titled(shape("rect", { class: `bar fill-${name}`, x, y, width, height, rx: 2 }), told(bar));
  state.under.set(rect, [bar]);
  inside.append(rect);
  const middle = (Math.max(x, left) + Math.min(x + width, right)) / 2;
  if (BAD.has(name)) symbols.push([middle, y + height / 2, name, ""]);
  if (state.chosen === bar.place) inside.append(shape("rect", { class: "chosen", x, y, width, height, rx: 2 }));
}

/** @type {(column: BarColumn, place: BarPlace) => void} */
function drawMany(column, { inside, y, height, state, symbols }) {
  const worst = Math.min(...column.bars.map((bar) => bar.outcome));
  const name = data.outcomes[worst];
  const share = Math.min(1, Math.max(0.35, column.busy / column.width));
  const box = { class: `bar many fill-${name}`, x: column.x, y, width: column.width, height };
  const rect = titled(shape("rect", { ...box, opacity: BAD.has(name) ? 1 : share }), toldMany(column.bars));
  state.under.set(rect, column.bars);
  inside.append(rect);
  if (BAD.has(name)) symbols.push([column.x + column.width / 2, y + height / 2, name, ""]);
  if (column.bars.some((bar) => bar.place === state.chosen)) {
    inside.append(shape("rect", { class: "chosen", x: column.x - 1, y, width: column.width + 2, height }));
  }
}

// Where symbols would lie on each other, the one that says most stands for all.
/** @type {(symbols: LaneSymbol[], inside: SVGElement) => void} */
function drawSymbols(symbols, inside) {
  /** @type {(name: string) => number} */
  const weight = (name) => ["failed", "error", "timeout", "crashed"].indexOf(name);
  symbols.sort((one, other) => weight(other[2]) - weight(one[2]));
  const taken = new Set();
  for (const [x, y, name, note] of symbols) {
    const spot = `${Math.round(x / 16)} ${Math.round(y)}`;
    if (taken.has(spot)) continue;
    taken.add(spot);
    inside.append(note ? titled(symbol(name, x, y), note) : symbol(name, x, y));
  }
}

/** @type {(name: string, x: number, y: number) => SVGElement} */
function symbol(name, x, y) {
  /** @type {Record<string, string>} */
  const forms = {
    crashed: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`,
    timeout: `M${x} ${y - 3}v3h3`,
    quarantined: `M${x - 4} ${y}h8`,
    failed: `M${x} ${y - 4}v4m0 3v1`,
    error: `M${x} ${y - 4}v4m0 3v1`,
  };
  const disc = shape("circle", { cx: x, cy: y, r: 7 });
  return shape("g", { class: "symbol" }, disc, shape("path", { d: forms[name] }));
}

/** @type {(bar: Bar) => string} */
function told(bar) {
  const tests = data.tests;
  const devices = tests.devices[bar.place].map((device) => data.devices[device].label).join(", ") || "no device";
  const when = `from ${clock(bar.from, 0.1)} to ${clock(bar.to, 0.1)}`;
  const where = `${tests.worker[bar.place]} on ${devices}`;
  return `${tests.id[bar.place]}: ${data.outcomes[bar.outcome]}, ${seconds(bar.to - bar.from)}, ${when}, ${where}`;
}

/** @type {(bars: Bar[]) => string} */
function toldMany(bars) {
  if (bars.length === 1) return told(bars[0]);
  /** @type {[count: number, name: string][]} */
  const counts = data.outcomes.map((name, place) => [bars.filter((bar) => bar.outcome === place).length, name]);
  const parts = counts.filter(([count]) => count).map(([count, name]) => `${count} ${name}`);
  return `${counted(bars.length, "test")} (${parts.join(", ")}), about ${clock(bars[0].from, 0.1)}`;
}

/** @type {(all: Lane[]) => HTMLElement} */
function timelineLegend(all) {
  const used = [...new Set(all.flatMap((lane) => lane.bars.map((bar) => bar.outcome)))].sort((a, b) => a - b);
  const items = used.map((outcome) => {
    const name = data.outcomes[outcome];
    const swatch = shape("rect", { class: `fill-${name}`, x: 0, y: 0, width: 19, height: 14, rx: 2 });
    return legendItem(name, swatch, BAD.has(name) ? symbol(name, 9.5, 7) : null);
  });
  if (all.some((lane) => lane.waits.length)) {
    items.push(
      legendItem("waits for its lease", hatch(), shape("rect", { class: "wait", x: 1, y: 1, width: 17, height: 12 })),
    );
  }
  if (all.some((lane) => lane.ends.length)) {
    items.push(legendItem("worker crashed or was killed", symbol("crashed", 9.5, 7)));
  }
  if (all.some((lane) => lane.quarantined)) items.push(legendItem("quarantined device", symbol("quarantined", 9.5, 7)));
  return element("ul", { class: "legend", "aria-label": "Legend" }, ...items);
}

/** @type {(text: string, ...shapes: Child[]) => HTMLElement} */
function legendItem(text, ...shapes) {
  return element(
    "li",
    {},
    shape("svg", { viewBox: "0 0 19 14", "aria-hidden": "true" }, ...shapes.filter(Boolean)),
    text,
  );
}

// The one pattern of the page; the chart uses it too.
/** @type {() => SVGElement} */
function hatch() {
  const line = shape("path", { class: "hatch", d: "M0 6L6 0M-1 1L1 -1M5 7L7 5" });
  return shape(
    "defs",
    {},
    shape("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, line),
  );
}
