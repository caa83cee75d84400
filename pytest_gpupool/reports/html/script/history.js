// The history of a metric of a test: its value in the runs on record and in this one.

const MOST_TESTS = 300;
// This run's place among all, the last one.
const thisRun = () => data.runs.length - 1;

/** @type {DrawSection} */
function metricHistory(section) {
  if (!data.metrics.length) return false;
  const tools = element("div", { class: "tools" });
  const holder = element("div", { class: "chart" });
  const table = element("div", {});
  const state = { metric: firstMetric(), at: 0, words: "" };
  const redrawChart = keepDrawn(holder, (width) => holder.replaceChildren(historyChart(state, width)));
  const redraw = () => {
    replaceKeepingFocus(tools, ...historyTools(state, redraw));
    redrawChart();
    table.replaceChildren(historyTable(state));
  };
  section.append(tools, holder, historyLegend(), table);
  redraw();
  const show = (/** @type {number} */ number, /** @type {number} */ at) => {
    Object.assign(state, { metric: number, at, words: "" });
    redraw();
    section.scrollIntoView();
    present(tools.querySelector("select")).focus({ preventScroll: true });
  };
  addHistoryButtons(show);
  window.addEventListener("history", (event) => {
    if (event instanceof CustomEvent) show(event.detail.metric, event.detail.at);
  });
  return true;
}

// Beside the metrics of the summary, and of a test as soon as its details are there.
/** @type {(show: (metric: number, at: number) => void) => void} */
function addHistoryButtons(show) {
  /** @type {(holder: Element | null, anchor: string | undefined, name: string | null) => void} */
  const add = (holder, anchor, name) => {
    const place = placesByAnchor.get(anchor ?? "") ?? -1;
    const metric = data.metrics.findIndex((each) => each.name === name && each.test.includes(place));
    if (metric < 0 || !holder || holder.querySelector(".past")) return;
    const made = button("history", `History of ${name}`, () => show(metric, data.metrics[metric].test.indexOf(place)));
    made.classList.add("past");
    holder.append(made);
  };
  /** @type {NodeListOf<HTMLTableRowElement>} */
  const rows = document.querySelectorAll('[aria-labelledby="wrong"] tbody tr');
  for (const row of rows) {
    add(row.lastElementChild, present(row.querySelector("a")).hash.slice(1), row.cells[1].textContent);
  }
  /** @type {(event: Event) => void} */
  const filled = ({ target }) => {
    if (!(target instanceof Element)) return;
    const anchor = target.closest("tbody")?.id;
    for (const name of target.querySelectorAll("dt > code")) {
      add(present(name.parentElement).nextElementSibling, anchor, name.textContent);
    }
  };
  document.addEventListener("filled", filled);
}

// One that was measured before, or has a number now; its tests stand in the order of the table, the worst first.
/** @type {() => number} */
function firstMetric() {
  const before = data.history.findIndex((tests) => Object.keys(tests).length);
  return Math.max(0, before < 0 ? data.metrics.findIndex((metric) => metric.value[0] !== null) : before);
}

/** @type {(state: HistoryState, redraw: Redraw) => HTMLElement[]} */
function historyTools(state, redraw) {
  const metric = data.metrics[state.metric];
  /** @type {Choice[]} */
  const metrics = data.metrics.map((each, place) => [String(place), metricName(each)]);
  /** @type {Choice[]} */
  const found = metric.test.map((place, at) => [String(at), data.tests.id[place]]);
  const wanted = found.filter(([at, id]) => id.toLowerCase().includes(state.words) || Number(at) === state.at);
  const shown = wanted.slice(0, MOST_TESTS);
  if (!shown.some(([at]) => Number(at) === state.at)) shown.unshift(found[state.at]);
  const controls = [
    choice("Metric", metrics, String(state.metric), (value) => {
      Object.assign(state, { metric: Number(value), at: 0, words: "" });
      redraw();
    }),
    choice(testsLabel(wanted), shown, String(state.at), (value) => {
      state.at = Number(value);
      redraw();
    }),
  ];
  if (found.length > 12) controls.splice(1, 0, narrowing(state, redraw));
  return controls;
}

/** @type {(wanted: Choice[]) => string} */
function testsLabel(wanted) {
  return wanted.length > MOST_TESTS ? `Test (the first ${MOST_TESTS} of ${wanted.length})` : "Test";
}

/** @type {(state: HistoryState, redraw: Redraw) => HTMLElement} */
function narrowing(state, redraw) {
  const input = element("input", { type: "search", value: state.words, placeholder: "part of a test's name" });
  input.addEventListener("change", () => {
    state.words = input.value.toLowerCase();
    const metric = data.metrics[state.metric];
    const first = metric.test.findIndex((place) => data.tests.id[place].toLowerCase().includes(state.words));
    if (first >= 0) state.at = first;
    redraw();
  });
  return element("label", {}, "Only tests with", input);
}

// Every value on record, the oldest first, this run's last: {run, value, verdict, kind}.
/** @type {(state: HistoryState) => Point[]} */
function pointsOf(state) {
  const metric = data.metrics[state.metric];
  const place = metric.test[state.at];
  const [values, verdicts, kinds] = data.history[state.metric][place] ?? [[], [], []];
  /** @type {(verdict: number) => string} */
  const named = (verdict) => data.verdicts[verdict] ?? "";
  const points = values.flatMap((value, run) => {
    const [verdict, kind] = [verdicts[run], kinds[run]];
    return verdict === null || kind === null ? [] : [{ run, value, verdict: named(verdict), kind: data.kinds[kind] }];
  });
  const verdict = named(metric.verdict[state.at]);
  return [...points, { run: thisRun(), value: metric.value[state.at], verdict, kind: data.kinds[data.tests.kind[place]] }];
}

/** @type {(state: HistoryState, width: number) => Element} */
function historyChart(state, width) {
  const metric = data.metrics[state.metric];
  const points = pointsOf(state);
  const baseline = metric.baseline[state.at];
  const allowed = metric.allowed[state.at];
  const values = points
    .map((point) => point.value)
    .concat(baseline)
    .filter((value) => value !== null);
  if (!values.length) return element("p", {}, "No run on record has a number for it.");
  const edges = allowed && baseline !== null ? [baseline - allowed, baseline + allowed] : [];
  const [low, high] = roomy([...values, ...edges, ...(metric.interval[state.at] ?? [])]);
  const every = Math.ceil(data.runs.length / Math.max(1, Math.floor(width / 110)));
  const at = data.runs.map((_, run) => run).filter((run) => (thisRun() - run) % every === 0);
  /** @type {ChartAxis} */
  const x = { from: -0.5, to: thisRun() + 0.5, ticks: { at }, text: (run) => runName(run), name: "" };
  const yTicks = ticks(low, high, 5);
  /** @type {ChartAxis} */
  const y = { from: low, to: high, ticks: yTicks, text: (value) => figure(value), name: metricName(metric) };
  const name = data.tests.id[metric.test[state.at]];
  const label = `${metricName(metric)} of ${name} over ${counted(points.length, "run")}`;
  const frame = plot(width, 280, label, x, y);
  drawRule(frame.svg, frame.up, frame.left, frame.right, baseline, allowed);
  drawInterval(frame.svg, frame.up, frame.across(thisRun()), metric.interval[state.at]);
  drawSeries(frame, points, metric);
  return frame.svg;
}

/** @type {(run: number) => string} */
function runName(run) {
  return run === thisRun() ? "this run" : day(data.runs[run].started).slice(5);
}

// What the verdict goes by: within the margin around the baseline all is ok.
/** @type {(svg: SVGElement, up: Scale, left: number, right: number, baseline: Figure, allowed: Figure) => void} */
function drawRule(svg, up, left, right, baseline, allowed) {
  if (baseline === null) return;
  if (allowed) {
    const [top, bottom] = [up(baseline + allowed), up(baseline - allowed)];
    const box = { class: "band", x: left, y: top, width: right - left, height: Math.max(1, bottom - top) };
    const text = `within ± ${figure(allowed)} of the baseline: ok`;
    svg.append(titled(shape("rect", box), text));
  }
  const line = shape("path", { class: "base", d: `M${left} ${up(baseline)}H${right}` });
  svg.append(titled(line, `baseline ${figure(baseline)}`));
}

// The interval of this run's change: beyond the margin it regressed only where chance does not explain it.
/** @type {(svg: SVGElement, up: Scale, x: number, bounds: Bounds) => void} */
function drawInterval(svg, up, x, bounds) {
  if (!bounds) return;
  const [low, high] = [up(bounds[0]), up(bounds[1])];
  const d = `M${x} ${low}V${high}M${x - 4} ${low}h8M${x - 4} ${high}h8`;
  svg.append(titled(shape("path", { class: "whisker", d }), `${figure(bounds[0])} to ${figure(bounds[1])}`));
}

// A line for each kind of device: their values are not the same thing.
/** @type {(frame: Frame, points: Point[], metric: Metric) => void} */
function drawSeries({ svg, across, up, bottom }, points, metric) {
  const own = points.at(-1)?.kind;
  for (const kind of [...new Set(points.map((point) => point.kind))]) {
    const series = points.filter((point) => point.kind === kind).filter(hasNumber);
    const other = kind === own ? "" : " other";
    const d = series.map((point, place) => `${place ? "L" : "M"}${across(point.run)} ${up(point.value)}`).join("");
    svg.append(shape("path", { class: `line${other}`, d }));
    for (const point of series) addPoint(svg, point, other, across(point.run), up(point.value), metric);
  }
  for (const point of points.filter((each) => !hasNumber(each))) {
    addPoint(svg, { ...point, verdict: "invalid" }, "", across(point.run), bottom, metric);
  }
}

/** @type {(point: Point) => point is MeasuredPoint} */
function hasNumber(point) {
  return point.value !== null;
}

/** @type {(svg: SVGElement, point: Point, other: string, x: number, y: number, metric: Metric) => void} */
function addPoint(svg, point, other, x, y, metric) {
  const now = point.run === thisRun() ? " now" : "";
  svg.append(
    titled(marker(point.verdict, x, y, { class: `point${other} ${point.verdict}${now}` }), pointText(point, metric)),
  );
}

/** @type {(point: Point, metric: Metric) => string} */
function pointText(point, metric) {
  const run = data.runs[point.run];
  const value = valueText(point, metric);
  return [value, point.verdict, point.kind, day(run.started), run.id, run.commit.slice(0, 10)]
    .filter(Boolean)
    .join(", ");
}

/** @type {(point: Point, metric: Metric) => string} */
function valueText(point, metric) {
  return point.value === null ? "no number" : figure(point.value, metric.unit);
}

/** @type {() => HTMLElement} */
function historyLegend() {
  /** @type {(kind: string, text: string) => HTMLElement} */
  const item = (kind, text) => legendItem(text, marker(kind, 9.5, 7, { class: `point ${kind}` }));
  const base = legendItem(
    "baseline, and the margin within which a change is ok",
    shape("rect", { class: "band", x: 0, y: 2, width: 19, height: 10 }),
    shape("path", { class: "base", d: "M0 7H19" }),
  );
  const whisker = legendItem("interval of this run's change", shape("path", { class: "whisker", d: "M9 1V13M5 1h8M5 13h8" }));
  const other = legendItem("another kind of device", shape("path", { class: "line other", d: "M0 7H19" }));
  const items = [
    item("", "value"),
    item("regressed", "regressed"),
    item("improved", "improved"),
    item("invalid", "invalid"),
    base,
    whisker,
    other,
  ];
  return element("ul", { class: "legend", "aria-label": "Legend" }, ...items);
}

/** @type {(state: HistoryState) => HTMLElement} */
function historyTable(state) {
  const metric = data.metrics[state.metric];
  const rows = pointsOf(state).map((point) => {
    const run = data.runs[point.run];
    const commit = run.commit.slice(0, 10) || DASH;
    const told = [run.id, day(run.started), commit, valueText(point, metric), point.verdict || DASH, point.kind || DASH];
    return [...told, ...(point.run === thisRun() ? boundsOf(metric, state.at) : [DASH, DASH])];
  });
  const heads = ["Run", "Started", "Commit", "Value", "Verdict", "Device", "Interval", "n"];
  return asTable(`${metricName(metric)} of ${data.tests.id[metric.test[state.at]]}`, heads, rows);
}

// The interval of a value, and of how many items it is.
/** @type {(metric: Metric, at: number) => string[]} */
function boundsOf(metric, at) {
  const bounds = metric.interval[at];
  const n = metric.n[at];
  return [bounds ? `${figure(bounds[0])} to ${figure(bounds[1])}` : DASH, n === null ? DASH : String(n)];
}
