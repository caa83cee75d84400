// The order of the table of tests.

const METRICS_COLUMN = 6;

// The tests in the order that the state names.
/** @type {(state: SortState) => number[]} */
function sorted(state) {
  const order = data.tests.id.map((_, place) => place);
  if (state.column === null) return order;
  return order.sort(directed(comparing(state, state.column), state.down));
}

/** @type {(state: SortState, column: number) => Compare} */
function comparing(state, column) {
  switch (column) {
    case 0:
      return byPlace;
    case 1:
      return byText("name", (place) => data.tests.id[place]);
    case 3:
      return byText("worker", (place) => data.tests.worker[place] || null);
    case 4:
      return byText("devices", devicesText);
    case METRICS_COLUMN:
      return byMetric(state.metric);
    default:
      if (column >= ROW_COLUMNS) return byParam(state.columns[column - ROW_COLUMNS]);
      return byNumber(column === 2 ? "took" : "memory");
  }
}

// The heads of the table: each sorts by its column, another time the other way round.
/** @type {(table: HTMLTableElement, state: SortState, redraw: Redraw) => void} */
function makeHeads(table, state, redraw) {
  const row = present(table.tHead).rows[0];
  while (row.cells.length > ROW_COLUMNS) row.lastElementChild?.remove();
  for (const param of state.columns) {
    row.append(element("th", { scope: "col", class: "param" }, data.params[param].name));
  }
  table.style.setProperty("--more-columns", state.columns.map(() => "minmax(3rem, 6rem)").join(" ") || "0");
  row.setAttribute("role", "row");
  [...row.cells].forEach((head, column) => {
    head.setAttribute("role", "columnheader");
    head.setAttribute("aria-sort", sortWord(state, column));
    const old = head.querySelector("button");
    if (old) return;
    const made = element("button", { type: "button" }, head.textContent);
    made.addEventListener("click", () => {
      state.down = state.column === column ? !state.down : false;
      state.column = column;
      redraw();
    });
    head.replaceChildren(made);
  });
}

/** @type {(state: SortState, column: number) => string} */
function sortWord(state, column) {
  if (state.column !== column) return "none";
  return state.down ? "descending" : "ascending";
}

// Where two are equal they stay in the table's first order; what has no value comes last, whichever way.
/** @type {(compare: Compare, down: boolean) => Compare} */
function directed(compare, down) {
  return (one, other) => {
    const found = compare(one, other);
    if (found === 0) return one - other;
    return Math.abs(found) === Infinity ? found : down ? -found : found;
  };
}

/** @type {Compare} */
const byPlace = (one, other) => data.tests.outcome[one] - data.tests.outcome[other];
/** @type {(column: "took" | "memory") => Compare} */
const byNumber = (column) => (one, other) =>
  withoutLast(data.tests[column][one], data.tests[column][other], difference);

// Texts are compared once, and their places from then on: a table of 20,000 is sorted in no time.
/** @type {Map<string, Figure[]>} */
const ranks = new Map();

/** @type {(column: string, textOf: (place: number) => string | null) => Compare} */
function byText(column, textOf) {
  const own = ranks.get(column) ?? ranksOf(data.tests.id.map((_, place) => textOf(place)));
  ranks.set(column, own);
  return (one, other) => withoutLast(own[one], own[other], difference);
}

/** @type {(texts: (string | null)[]) => Figure[]} */
function ranksOf(texts) {
  /** @type {Map<string | null, number>} */
  const places = new Map();
  const order = [...new Set(texts)].filter((text) => text !== null).sort(natural);
  order.forEach((text, at) => places.set(text, at));
  return texts.map((text) => places.get(text) ?? null);
}

/** @type {(param: number) => Compare} */
function byParam(param) {
  const { values, numeric } = data.params[param];
  const own = data.tests.params.map((pairs) => valueOfParam(pairs, param));
  const compare = (/** @type {number} */ one, /** @type {number} */ other) =>
    numeric ? Number(values[one]) - Number(values[other]) : natural(values[one], values[other]);
  return (one, other) => withoutLast(own[one], own[other], compare);
}

/** @type {Compare} */
function difference(one, other) {
  return one - other;
}

/** @type {<T>(one: T | null, other: T | null, compare: (one: T, other: T) => number) => number} */
function withoutLast(one, other, compare) {
  if (one === null || other === null) return one === other ? 0 : one === null ? Infinity : -Infinity;
  return compare(one, other);
}

/** @type {(place: number) => string | null} */
function devicesText(place) {
  return data.tests.devices[place].map((device) => data.devices[device].label).join(", ") || null;
}

// By the worst verdict of a test, or by the value of the metric that is chosen.
/** @type {(metric: string) => Compare} */
function byMetric(metric) {
  const keys = metricKeys(metric);
  return (one, other) => withoutLast(keys[one], keys[other], difference);
}

/** @type {(wanted: string) => Figure[]} */
function metricKeys(wanted) {
  /** @type {Figure[]} */
  const keys = data.tests.id.map(() => null);
  data.metrics.forEach((metric, number) => {
    metric.test.forEach((place, at) => {
      if (wanted === ALL) {
        const verdict = metric.verdict[at] < 0 ? data.verdicts.length : metric.verdict[at];
        keys[place] = Math.min(keys[place] ?? Infinity, verdict);
      } else if (String(number) === wanted) {
        keys[place] = metric.value[at];
      }
    });
  });
  return keys;
}

/** @type {(state: SortState, sort: Redraw) => HTMLElement} */
function metricChoice(state, sort) {
  /** @type {Choice[]} */
  const options = data.metrics.map((metric, place) => [String(place), metricName(metric)]);
  const made = choice("Sort metrics by", [[ALL, "verdict"], ...options], ALL, (value) => {
    Object.assign(state, { metric: value, column: METRICS_COLUMN });
    sort();
  });
  made.querySelector("select")?.classList.add("sorting");
  return made;
}
