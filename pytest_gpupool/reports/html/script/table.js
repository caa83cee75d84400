// The table of tests: sorted by any column, filtered by words, outcomes and verdicts, opened by a link.

const NO_VERDICT = "no verdict";

const MOST_FILTERS = 6; // parameters that have a filter of their own
const MOST_VALUES = 200; // of one of them

// What a page that is loaded again by itself does before and after it is drawn, see live.js; a file does nothing.
/** @type {Visit} */
const visit = { isReturn: false, begin: () => {}, drawn: () => {} };

/** @type {DrawSection} */
function testTable(section) {
  /** @type {HTMLTableElement | null} */
  const table = section.querySelector("table.tests");
  if (!table) return false;
  table.setAttribute("role", "table");
  /** @type {TableState} */
  const state = newState();
  const shown = element("p", { class: "shown", role: "status", "aria-live": "polite" });
  const verdicts = verdictsOf();
  const texts = data.tests.id.map((_, place) => searchable(place));
  const clusters = clusterOf();
  const rows = windowed(table, (place) => testRow(place, state.columns));
  const show = () => {
    const order = sorted(state).filter((place) => isKept(state, place, texts[place], verdicts[place], clusters[place]));
    rows.show(order);
    shown.textContent = `${order.length} of ${texts.length} shown`;
  };
  const redraw = () => {
    makeHeads(table, state, redraw);
    show();
  };
  const filters = filterTools(state, verdicts, { show, redraw }, shown);
  section.insertBefore(filters, table);
  if (texts.length > ALL_DRAWN) section.insertBefore(windowNote(), table);
  openRows(table);
  redraw();
  followLinks(filters, { show, rows, state });
  addClusterButtons(filters, state);
  window.addEventListener("beforeprint", () => showPictures(table));
  return true;
}

/** @type {() => TableState} */
function newState() {
  const none = { words: "", cluster: null, outcomes: new Set(), verdicts: new Set(), params: new Map() };
  const columns = window.innerWidth < 1500 ? [] : variedParams().slice(0, 3);
  return { ...none, attempts: new Set(), metric: ALL, column: null, down: false, columns };
}

/** @type {() => HTMLElement} */
function windowNote() {
  const text = "Rows are drawn as you scroll to them: the browser's own search finds those only, the field above all.";
  return element("p", { class: "muted" }, `${text} On paper there are the first ${MOST_PRINTED}.`);
}

// Parameters and facts that are not the same in all tests.
/** @type {() => number[]} */
function variedParams() {
  return data.params.flatMap((param, number) => (param.values.length > 1 ? [number] : []));
}

// Of each test, the number of its kind of failure.
/** @type {() => Figure[]} */
function clusterOf() {
  /** @type {Figure[]} */
  const found = data.tests.id.map(() => null);
  data.clusters.forEach((cluster, number) => cluster.tests.forEach((place) => (found[place] = number)));
  return found;
}

// Of each test, the names of its metrics' verdicts.
/** @type {() => Set<string>[]} */
function verdictsOf() {
  /** @type {Set<string>[]} */
  const found = data.tests.id.map(() => new Set());
  for (const metric of data.metrics) {
    metric.test.forEach((place, at) => found[place].add(data.verdicts[metric.verdict[at]] ?? NO_VERDICT));
  }
  return found;
}

/** @type {(place: number) => string} */
function searchable(place) {
  const { id, worker, devices, params, row } = data.tests;
  const names = devices[place].map((device) => data.devices[device].label);
  const values = [];
  for (let at = 0; at < params[place].length; at += 2) {
    values.push(data.params[params[place][at]].values[params[place][at + 1]]);
  }
  return [id[place], worker[place], ...names, row[place][2], ...values].join("\n").toLowerCase();
}

// All words must be there; of outcomes and verdicts, one of those chosen; of a parameter, the value chosen.
/** @type {(state: TableState, place: number, text: string, verdicts: Set<string>, cluster: Figure) => boolean} */
function isKept(state, place, text, verdicts, cluster) {
  if (state.outcomes.size && !state.outcomes.has(data.outcomes[data.tests.outcome[place]])) return false;
  if (state.verdicts.size && ![...state.verdicts].some((verdict) => verdicts.has(verdict))) return false;
  if (state.attempts.size && data.tests.row[place][3] < 2) return false;
  if (state.cluster !== null && state.cluster !== cluster) return false;
  for (const [param, value] of state.params) {
    if (valueOfParam(data.tests.params[place], param) !== value) return false;
  }
  return state.words.split(/\s+/).every((word) => text.includes(word));
}

/** @type {(state: TableState, verdicts: Set<string>[], act: TableActs, shown: HTMLElement) => HTMLFormElement} */
function filterTools(state, verdicts, { show, redraw }, shown) {
  const label = element("label", {}, element("span", {}, "Filter ", element("kbd", {}, "/")), wordsInput(state, show));
  const tools = element("form", { class: "tools filters", role: "search", "aria-label": "Tests" }, label);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.append(...paramFilters(state, show));
  if (data.clusters.length) tools.append(failureFilter(state, show));
  if (data.metrics.length) tools.append(metricChoice(state, redraw));
  tools.append(shown);
  const outcomes = countedNames(
    data.outcomes,
    data.tests.outcome.map((place) => new Set([data.outcomes[place]])),
  );
  const judged = countedNames([...data.verdicts, NO_VERDICT], verdicts);
  const retried = data.tests.row.filter((row) => row[3] > 1).length;
  tools.append(chips("Outcome", outcomes, state.outcomes, show));
  if (judged.some(([name]) => name !== NO_VERDICT)) tools.append(chips("Verdict", judged, state.verdicts, show));
  if (retried) tools.append(retriedChip(state, retried, show));
  if (variedParams().length) tools.append(columnChips(state, redraw));
  return tools;
}

/** @type {(state: TableState, show: Redraw) => HTMLElement} */
function wordsInput(state, show) {
  const input = element("input", { type: "search", placeholder: "name, message, worker, device", id: "filter" });
  input.addEventListener("input", () => {
    state.words = input.value.toLowerCase().trim();
    show();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear(input);
  });
  document.addEventListener("keydown", (event) => {
    const isTyped = event.target instanceof Element && event.target.matches("input:not([type=checkbox]), select");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyped) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  return input;
}

// Failures that say the same.
/** @type {(state: TableState, show: Redraw) => HTMLElement} */
function failureFilter(state, show) {
  /** @type {Choice[]} */
  const kinds = data.clusters.map(({ text, tests }, number) => [String(number), `${tests.length}: ${text.slice(0, 70)}`]);
  const made = choice("Failure", [[ALL, "any"], ...kinds], ALL, (value) => {
    state.cluster = value === ALL ? null : Number(value);
    show();
  });
  made.querySelector("select")?.classList.add("failure");
  return made;
}

/** @type {(state: TableState, show: Redraw) => HTMLElement[]} */
function paramFilters(state, show) {
  const few = variedParams().filter((param) => data.params[param].values.length <= MOST_VALUES);
  return few.slice(0, MOST_FILTERS).map((param) => {
    /** @type {Choice[]} */
    const values = data.params[param].values.map((value, at) => [String(at), value]);
    if (data.params[param].numeric) values.sort((one, other) => Number(one[1]) - Number(other[1]));
    return choice(data.params[param].name, [[ALL, "any"], ...values], ALL, (value) => {
      if (value === ALL) state.params.delete(param);
      else state.params.set(param, Number(value));
      show();
    });
  });
}

/** @type {(state: TableState, count: number, show: Redraw) => HTMLElement} */
function retriedChip(state, count, show) {
  return chips("Attempts", [["more than one", count]], state.attempts, show);
}

// Which parameters and facts have a column.
/** @type {(state: TableState, redraw: Redraw) => HTMLElement} */
function columnChips(state, redraw) {
  const made = variedParams().map((param) => {
    const box = element("input", { type: "checkbox", checked: state.columns.includes(param), "data-column": param });
    box.addEventListener("change", () => {
      state.columns = state.columns.filter((each) => each !== param);
      if (box.checked) state.columns.push(param);
      if (state.column !== null && state.column >= ROW_COLUMNS) state.column = null;
      redraw();
    });
    const { name, fact, values } = data.params[param];
    return element("label", {}, box, element("span", {}, fact ? `${name} (fact)` : name), element("small", {}, String(values.length)));
  });
  return element("fieldset", { class: "chips" }, element("legend", {}, "Columns"), ...made);
}

/** @type {(input: HTMLInputElement) => void} */
function clear(input) {
  input.value = "";
  input.dispatchEvent(new Event("input"));
}

/** @type {(names: string[], found: Set<string>[]) => [name: string, count: number][]} */
function countedNames(names, found) {
  /** @type {[name: string, count: number][]} */
  const all = names.map((name) => [name, found.filter((own) => own.has(name)).length]);
  return all.filter(([, count]) => count);
}

/** @type {(label: string, names: [name: string, count: number][], chosen: Set<string>, show: Redraw) => HTMLElement} */
function chips(label, names, chosen, show) {
  const made = names.map(([name, count]) => {
    const box = element("input", { type: "checkbox", value: name });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(name);
      else chosen.delete(name);
      show();
    });
    return element(
      "label",
      {},
      box,
      element("span", { class: `is-${name.replace(" ", "-")}` }, name),
      element("small", {}, String(count)),
    );
  });
  return element("fieldset", { class: "chips" }, element("legend", {}, label), ...made);
}

// A link to a test unfolds it, whatever the filters say.
/** @type {(filters: HTMLFormElement, parts: { show: Redraw, rows: RowWindow, state: TableState }) => void} */
function followLinks(filters, { show, rows, state }) {
  const follow = () => {
    const place = placesByAnchor.get(decodeURIComponent(location.hash.slice(1)));
    if (place === undefined) return;
    if (!rows.reveal(place)) {
      forgetFilters(filters, state);
      show();
    }
    const group = present(rows.reveal(place));
    fillDetails(group, place);
    present(group.querySelector("details")).open = true;
    present(group.querySelector("summary")).focus({ preventScroll: true });
    group.scrollIntoView();
    // Rows on the way have their true heights only now.
    requestAnimationFrame(() => {
      group.scrollIntoView();
      requestAnimationFrame(() => group.scrollIntoView());
    });
  };
  window.addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    // A link to where the reader is already changes nothing, and the test may be out of sight.
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link?.hash || link.hash !== location.hash || !placesByAnchor.has(link.hash.slice(1))) return;
    event.preventDefault();
    follow();
  });
  if (location.hash && !visit.isReturn) follow();
}

/** @type {(filters: HTMLFormElement, state: TableState) => void} */
function forgetFilters(filters, state) {
  // What has no name in the form stays as it is: columns, and the order.
  const { columns, metric } = state;
  filters.reset();
  for (const set of [state.outcomes, state.verdicts, state.attempts, state.params]) set.clear();
  Object.assign(state, { words: "", cluster: null });
  for (const box of filters.querySelectorAll("input[data-column]")) {
    if (box instanceof HTMLInputElement) box.checked = columns.includes(Number(box.dataset.column));
  }
  const sorting = filters.querySelector("select.sorting");
  if (sorting instanceof HTMLSelectElement) sorting.value = metric;
}

// Beside each kind of failure of the summary: all tests that have it.
/** @type {(filters: HTMLFormElement, state: TableState) => void} */
function addClusterButtons(filters, state) {
  document.querySelectorAll('[aria-labelledby="failures"] .which').forEach((cell, number) => {
    if (data.clusters[number].tests.length < 2) return;
    const made = button("all in the table", "Show the tests with this failure in the table", () => {
      forgetFilters(filters, state);
      const select = present(filters.querySelector("select.failure"));
      if (select instanceof HTMLSelectElement) select.value = String(number);
      select.dispatchEvent(new Event("change"));
      filters.scrollIntoView();
      present(filters.querySelector("input")).focus({ preventScroll: true });
    });
    made.classList.add("past");
    cell.append(made);
  });
}

// A click beside links and words that are being selected unfolds a test too.
/** @type {(table: HTMLTableElement) => void} */
function openRows(table) {
  table.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const row = event.target.closest("tbody[id] > tr:first-child");
    if (!row || event.target.closest("a, button") || String(getSelection())) return;
    const details = present(row.parentElement?.querySelector("details"));
    details.open = !details.open;
  });
}
