// The order of the table of tests.

const METRICS_COLUMN = 6;

// Returns what sorts anew, by the column and the metric that the state names.
/** @type {(table: HTMLTableElement, groups: HTMLElement[], state: SortState) => Redraw} */
function makeSortable(table, groups, state) {
  const heads = [...present(table.tHead).rows[0].cells];
  const keys = [byPlace, byName, byNumber("took"), byWorker, byDevices, byNumber("memory"), byMetric(state)];
  const sort = () => {
    const order = groups.map((_, place) => place);
    if (state.column !== null) order.sort(directed(keys[state.column], state.down));
    for (const place of order) table.appendChild(groups[place]); // all at once takes ten times as long
    heads.forEach((head, column) => head.setAttribute("aria-sort", sortWord(state, column)));
  };
  heads.forEach((head, column) => {
    const made = element("button", { type: "button" }, head.textContent);
    made.addEventListener("click", () => {
      state.down = state.column === column ? !state.down : false;
      state.column = column;
      sort();
    });
    head.replaceChildren(made);
  });
  return sort;
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
/** @type {Compare} */
const byName = (one, other) => natural(data.tests.id[one], data.tests.id[other]);
/** @type {Compare} */
const byWorker = (one, other) => withoutLast(data.tests.worker[one] || null, data.tests.worker[other] || null, natural);
/** @type {Compare} */
const byDevices = (one, other) => withoutLast(devicesText(one), devicesText(other), natural);
/** @type {(column: "took" | "memory") => Compare} */
const byNumber = (column) => (one, other) =>
  withoutLast(data.tests[column][one], data.tests[column][other], difference);

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
/** @type {(state: SortState) => Compare} */
function byMetric(state) {
  /** @type {Map<string, Figure[]>} */
  const cache = new Map();
  return (one, other) => {
    const keys = cache.get(state.metric) ?? metricKeys(state.metric);
    cache.set(state.metric, keys);
    return withoutLast(keys[one], keys[other], difference);
  };
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
  return choice("Sort metrics by", [[ALL, "verdict"], ...options], ALL, (value) => {
    Object.assign(state, { metric: value, column: METRICS_COLUMN });
    sort();
  });
}
