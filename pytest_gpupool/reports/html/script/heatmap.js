// The heat map: a table whose cells are coloured by value, or by the change to the baseline.

const MOST_LINES = 100;
const MOST_WORST = 8;
const LEAST_CHANGE = 0.05; // at the ends of the scale: smaller ones stay pale
/** @type {Record<HeatMode, string>} */
const MODES = { value: "value", change: "change to the baseline", baseline: "baseline" };

/** @type {DrawSection} */
function heatmap(section) {
  if (!data.metrics.length) return false;
  const tools = element("div", { class: "tools" });
  const holder = element("div", {});
  /** @type {HeatState} */
  const state = { metric: 0, mode: "value", rows: null, columns: null, fixed: new Map() };
  const redraw = () => {
    const all = settled(state, axes(data.metrics[state.metric]));
    replaceKeepingFocus(tools, ...heatTools(state, all, redraw));
    holder.replaceChildren(...heatBody(state, all));
  };
  section.append(tools, holder);
  redraw();
  return true;
}

// Let what was chosen stand where it can; returns the axes of the tests that are left.
/** @type {(state: HeatState, all: PivotAxis[]) => PivotAxis[]} */
function settled(state, all) {
  const [test] = all;
  // The mean over different tests says little: begin with one of them.
  if (state.rows === null && test.used.length > 1) state.fixed.set(TEST, String(test.used[0]));
  if (state.rows === TEST || state.columns === TEST) state.fixed.delete(TEST);
  forget(state.fixed, [test], TEST);
  const left = narrowed(all, test, state.fixed);
  forget(state.fixed, left);
  const usable = left.filter((each) => each.used.length).map((each) => each.key);
  if (state.rows === null || !usable.includes(state.rows)) Object.assign(state, firstAxes(left));
  if (state.columns === null || !usable.includes(state.columns)) state.columns = ALL;
  return state.rows === TEST && state.fixed.has(TEST) ? settled(state, all) : left;
}

// Values that no test has any more are as if they had not been chosen.
/** @type {(fixed: Map<string, string>, left: PivotAxis[], only?: string | null) => void} */
function forget(fixed, left, only = null) {
  for (const [key, value] of fixed) {
    if (only !== null && key !== only) continue;
    if (!left.some((each) => each.key === key && each.used.map(String).includes(value))) fixed.delete(key);
  }
}

/** @type {(state: HeatState, all: PivotAxis[], redraw: Redraw) => HTMLElement[]} */
function heatTools(state, all, redraw) {
  /** @type {(change: (value: string) => void) => (value: string) => void} */
  const set = (change) => (value) => {
    change(value);
    redraw();
  };
  /** @type {(value: string) => void} */
  const setMetric = (value) => {
    Object.assign(state, { metric: Number(value), rows: null });
  };
  /** @type {(value: string) => void} */
  const setRows = (value) => {
    Object.assign(state, { rows: value, columns: value === state.columns ? state.rows : state.columns });
  };
  /** @type {Choice[]} */
  const metrics = data.metrics.map((metric, place) => [String(place), metricName(metric)]);
  /** @type {Choice[]} */
  const names = all
    .filter((each) => each.used.length > 1 || each.key === state.rows)
    .map((each) => [each.key, each.name]);
  const modes = /** @type {[HeatMode, string][]} */ (Object.entries(MODES));
  const known = modes.filter(([mode]) => mode === "value" || hasBaseline(state));
  const others = all.filter((each) => each.key !== state.rows && each.key !== state.columns && each.used.length > 1);
  return [
    choice("Metric", metrics, String(state.metric), set(setMetric)),
    choice("Rows", names, state.rows, set(setRows)),
    choice(
      "Columns",
      [[ALL, DASH], ...names.filter(([key]) => key !== state.rows)],
      state.columns,
      set((value) => (state.columns = value)),
    ),
    ...others.map((axis) => fixing(axis, state, redraw)),
    choice(
      "Show",
      known,
      state.mode,
      set((value) => (state.mode = /** @type {HeatMode} */ (value))),
    ),
  ];
}

/** @type {(axis: PivotAxis, state: HeatState, redraw: Redraw) => HTMLElement} */
function fixing(axis, state, redraw) {
  /** @type {Choice[]} */
  const options = axis.used.slice(0, 500).map((value) => [String(value), axis.texts[value]]);
  return choice(axis.name, [[ALL, "all: mean"], ...options], state.fixed.get(axis.key) ?? ALL, (value) => {
    state.fixed.set(axis.key, value);
    redraw();
  });
}

/** @type {(metric: Metric) => string} */
function metricName(metric) {
  return metric.unit ? `${metric.name} (${metric.unit})` : metric.name;
}

/** @type {(state: HeatState) => boolean} */
function hasBaseline(state) {
  return data.metrics[state.metric].baseline.some((value) => value !== null);
}

/** @type {(state: HeatState, all: PivotAxis[]) => HTMLElement[]} */
function heatBody(state, all) {
  const metric = data.metrics[state.metric];
  const mode = hasBaseline(state) ? state.mode : "value";
  /** @type {(key: string | null) => PivotAxis | null} */
  const find = (key) => all.find((each) => each.key === key) ?? null;
  const [rows, columns] = [present(find(state.rows)), find(state.columns)];
  const fixed = new Map([...state.fixed].filter(([key]) => key !== state.rows && key !== state.columns));
  const places = selected(metric, all, fixed);
  const cells = pivot(places, rows, columns, (place) => metric[mode][place]);
  const lines = lineNumbers(cells, rows, columns);
  const table = heatTable({ metric, mode, rows, columns, cells, lines });
  const left = lines.all.rows - lines.rows.length + (lines.all.columns - lines.columns.length);
  const more = left
    ? element(
        "p",
        { class: "muted" },
        `The first ${MOST_LINES} values of each parameter are shown; ${left} are left out.`,
      )
    : null;
  const label = `${metric.name}: ${MODES[mode]}`;
  const scroll = element("div", { class: "scroll heat", role: "region", "aria-label": label, tabindex: 0 }, table);
  const worst = worstCells({ metric, mode, rows, columns, cells, lines }, table);
  return [worst, scroll, more, heatLegend(metric, mode, cells)].filter((each) => each !== null);
}

// The cells that need a look, in words above the table: of a wide one they may be out of sight.
/** @type {(parts: HeatParts, table: HTMLElement) => HTMLElement | null} */
function worstCells({ metric, rows, columns, cells, lines }, table) {
  const found = lines.rows.flatMap((row, down) =>
    lines.columns.flatMap((column, across) => {
      const cell = cells.get(`${row} ${column}`);
      const bad = (cell?.places ?? []).filter((place) => BAD_VERDICTS.includes(data.verdicts[metric.verdict[place]]));
      if (!bad.length) return [];
      const change = metric.change[bad[0]];
      const verdict = data.verdicts[metric.verdict[bad[0]]];
      const name = columns ? `${rows.texts[row]}, ${columns.texts[column]}` : rows.texts[row];
      const text = [name, change === null ? "" : percent(change, true), verdict].filter(Boolean).join(" ");
      return [{ text, down, across, size: Math.abs(change ?? Infinity) }];
    }),
  );
  if (!found.length) return null;
  found.sort((one, other) => other.size - one.size);
  const items = found.slice(0, MOST_WORST).map(({ text, down, across }) =>
    button(text, `Show the cell of ${text}`, () => {
      const cell = table.querySelectorAll("tbody tr")[down]?.children[across + 1];
      cell?.scrollIntoView({ block: "center", inline: "center" });
      cell?.animate?.([{ outline: "3px solid" }, { outline: "0 solid" }], 1500);
    }),
  );
  const left = found.length - items.length;
  const more = left > 0 ? element("span", { class: "muted" }, `and ${left} more`) : null;
  return element("p", { class: "worst" }, `${counted(found.length, "cell")} to look at: `, ...items, more);
}

// The values that have a cell, of each axis.
/** @type {(cells: Cells, rows: PivotAxis | null, columns: PivotAxis | null) => Lines} */
function lineNumbers(cells, rows, columns) {
  const keys = [...cells.keys()].map((key) => key.split(" ").map(Number));
  /** @type {(axis: PivotAxis | null, at: number) => number[]} */
  const used = (axis, at) => {
    const seen = new Set(keys.map((key) => key[at]));
    return axis ? axis.used.filter((value) => seen.has(value)) : [0];
  };
  const all = [used(rows, 0), used(columns, 1)];
  const [first, second] = all.map((each) => each.slice(0, MOST_LINES));
  return { rows: first, columns: second, all: { rows: all[0].length, columns: all[1].length } };
}

/** @type {(parts: HeatParts) => HTMLElement} */
function heatTable({ metric, mode, rows, columns, cells, lines }) {
  const colour = colouring(metric, mode, cells);
  const corner = columns ? `${rows.name} \\ ${columns.name}` : rows.name;
  const heads = lines.columns.map((value) =>
    element("th", { scope: "col" }, columns ? columns.texts[value] : MODES[mode]),
  );
  const head = element("tr", {}, element("th", { scope: "col" }, corner), ...heads);
  const body = lines.rows.map((row) => {
    const own = lines.columns.map((column) => heatCell(cells.get(`${row} ${column}`), metric, mode, colour));
    return element("tr", {}, element("th", { scope: "row" }, rows.texts[row]), ...own);
  });
  const caption = `${metricName(metric)}, ${MODES[mode]}${betterWords(metric)}`;
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
}

/** @type {(metric: Metric) => string} */
function betterWords({ better }) {
  return better === null ? "" : better ? "; higher is better" : "; lower is better";
}

/** @type {(cell: Cell | undefined, metric: Metric, mode: HeatMode, colour: Colouring) => HTMLElement} */
function heatCell(cell, metric, mode, colour) {
  if (!cell) return element("td", { class: "empty" }, DASH);
  const made = element("td", { class: cell.mean === null ? "empty" : null });
  made.append(cellText(cell, mode));
  for (const note of cellNotes(cell, metric)) made.append(element("small", {}, note));
  if (cell.mean !== null) colour(made, cell.mean);
  return made;
}

/** @type {(cell: Cell, mode: HeatMode) => string} */
function cellText(cell, mode) {
  if (cell.mean === null) return mode === "value" ? "invalid" : DASH;
  return mode === "change" ? percent(cell.mean, true) : figure(cell.mean);
}

/** @type {(cell: Cell, metric: Metric) => string[]} */
function cellNotes(cell, metric) {
  const notes = cell.count > 1 ? [`mean of ${cell.count}`] : boundsNotes(cell, metric);
  if (cell.odd && cell.count) notes.push(`${cell.odd} without`);
  const verdicts = cell.places.map((place) => data.verdicts[metric.verdict[place]]);
  for (const [name, sign] of [
    ["regressed", "▼"],
    ["improved", "▲"],
  ]) {
    const count = verdicts.filter((each) => each === name).length;
    if (count) notes.push(`${sign} ${cell.places.length > 1 ? `${count} ` : ""}${name}`);
  }
  return notes;
}

// Of one result: the interval of its value, and of how many items it is.
/** @type {(cell: Cell, metric: Metric) => string[]} */
function boundsNotes(cell, metric) {
  const [bounds, n] = cell.places.length === 1 ? boundsOf(metric, cell.places[0]) : [DASH, DASH];
  return [bounds === DASH ? "" : bounds, n === DASH ? "" : `n ${n}`].filter(Boolean);
}

// The better, the stronger; where the direction is not known, the larger. Changes: one hue for better, one for worse.
/** @type {(metric: Metric, mode: HeatMode, cells: Cells) => Colouring} */
function colouring(metric, mode, cells) {
  const means = [...cells.values()].map((cell) => cell.mean).filter((mean) => mean !== null);
  if (mode === "change") {
    const most = Math.max(LEAST_CHANGE, ...means.map(Math.abs));
    const sign = metric.better === false ? -1 : 1;
    return (cell, mean) => paint(cell, Math.abs(mean) / most, mean * sign < 0 ? "var(--less)" : "var(--more)");
  }
  const [low, high] = [Math.min(...means), Math.max(...means)];
  return (cell, mean) => {
    const part = high > low ? (mean - low) / (high - low) : 0;
    if (high > low && metric.better !== null && mean === (metric.better ? high : low)) cell.classList.add("best");
    paint(cell, metric.better === false && high > low ? 1 - part : part, "var(--more)");
  };
}

/** @type {(cell: HTMLElement, part: number, hue: string) => void} */
function paint(cell, part, hue) {
  cell.style.setProperty("--part", part.toFixed(3));
  cell.style.setProperty("--hue", hue);
}

/** @type {(metric: Metric, mode: HeatMode, cells: Cells) => HTMLElement | null} */
function heatLegend(metric, mode, cells) {
  const means = [...cells.values()].map((cell) => cell.mean).filter((mean) => mean !== null);
  if (!means.length) return null;
  const down = metric.better === false ? " down" : "";
  const strip = element("span", {
    class: `scale ${mode === "change" ? "change" : "value"}${down}`,
    "aria-hidden": "true",
  });
  const most = Math.max(LEAST_CHANGE, ...means.map(Math.abs));
  const ends =
    mode === "change"
      ? [percent(-most, true), percent(most, true)]
      : [figure(Math.min(...means)), figure(Math.max(...means))];
  const words =
    metric.better === null
      ? ""
      : mode === "change"
        ? "; blue is better, orange is worse"
        : "; stronger is better, the best is bold";
  return element("p", { class: "legend" }, element("span", {}, ends[0], " ", strip, ends[1], words));
}
