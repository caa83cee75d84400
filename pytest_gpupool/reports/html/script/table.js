// The table of tests: sorted by any column, filtered by words, outcomes and verdicts, opened by a link.

const NO_VERDICT = "no verdict";

/** @type {DrawSection} */
function testTable(section) {
  /** @type {HTMLTableElement | null} */
  const table = section.querySelector("table.tests");
  if (!table) return false;
  const groups = data.tests.anchor.map((anchor) => present(document.getElementById(anchor)));
  /** @type {TableState} */
  const state = { words: "", outcomes: new Set(), verdicts: new Set(), metric: ALL, column: null, down: false };
  const shown = element("p", { class: "shown", role: "status", "aria-live": "polite" });
  const verdicts = verdictsOf();
  const texts = groups.map((_, place) => searchable(place));
  const show = () => {
    let count = 0;
    groups.forEach((group, place) => {
      const kept = isKept(state, place, texts[place], verdicts[place]);
      if (group.hidden === kept) group.hidden = !kept;
      if (kept) count += 1;
    });
    shown.textContent = `${count} of ${groups.length} shown`;
  };
  const sort = makeSortable(table, groups, state);
  const sorting = data.metrics.length ? metricChoice(state, sort) : null;
  const filters = filterTools(state, verdicts, show, [sorting, shown]);
  section.insertBefore(filters, table);
  openRows(table);
  followLinks(filters, show, state);
  show();
  return true;
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
  const { id, worker, devices, anchor } = data.tests;
  const names = devices[place].map((device) => data.devices[device].label);
  const headline = document.getElementById(anchor[place])?.querySelector(".headline")?.textContent ?? "";
  return [id[place], worker[place], ...names, headline].join("\n").toLowerCase();
}

// All words must be there; of outcomes and verdicts, one of those chosen.
/** @type {(state: TableState, place: number, text: string, verdicts: Set<string>) => boolean} */
function isKept(state, place, text, verdicts) {
  if (state.outcomes.size && !state.outcomes.has(data.outcomes[data.tests.outcome[place]])) return false;
  if (state.verdicts.size && ![...state.verdicts].some((verdict) => verdicts.has(verdict))) return false;
  return state.words.split(/\s+/).every((word) => text.includes(word));
}

/** @type {(state: TableState, verdicts: Set<string>[], show: Redraw, others: Child[]) => HTMLFormElement} */
function filterTools(state, verdicts, show, others) {
  const input = element("input", { type: "search", placeholder: "name, message, worker, device", id: "filter" });
  input.addEventListener("input", () => {
    state.words = input.value.toLowerCase().trim();
    show();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear(input);
  });
  document.addEventListener("keydown", (event) => {
    const isTyped = event.target instanceof Element && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyped) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  const outcomes = countedNames(
    data.outcomes,
    data.tests.outcome.map((place) => new Set([data.outcomes[place]])),
  );
  const judged = countedNames([...data.verdicts, NO_VERDICT], verdicts);
  const label = element("label", {}, element("span", {}, "Filter ", element("kbd", {}, "/")), input);
  const tools = element("form", { class: "tools filters", role: "search", "aria-label": "Tests" }, label, ...others);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.append(chips("Outcome", outcomes, state.outcomes, show));
  if (judged.some(([name]) => name !== NO_VERDICT)) tools.append(chips("Verdict", judged, state.verdicts, show));
  return tools;
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
/** @type {(filters: HTMLFormElement, show: Redraw, state: TableState) => void} */
function followLinks(filters, show, state) {
  const follow = () => {
    const group =
      location.hash.startsWith("#test-") && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!group) return;
    if (group.hidden) {
      filters.reset();
      state.words = "";
      state.outcomes.clear();
      state.verdicts.clear();
      show();
    }
    present(group.querySelector("details")).open = true;
    present(group.querySelector("summary")).focus({ preventScroll: true });
    group.scrollIntoView();
    requestAnimationFrame(() => group.scrollIntoView()); // rows on the way have their true heights only now
  };
  window.addEventListener("hashchange", follow);
  if (location.hash) follow();
}

// A click beside links and words that are being selected unfolds a test too.
/** @type {(table: HTMLTableElement) => void} */
function openRows(table) {
  table.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const row = event.target.closest("tbody > tr:first-child");
    if (!row || event.target.closest("a, button") || String(getSelection())) return;
    const details = present(row.parentElement?.querySelector("details"));
    details.open = !details.open;
  });
}
