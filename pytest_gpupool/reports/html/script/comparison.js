// The page of two runs side by side: one table of all that they tell of each other, the worst first.

/** @type {ComparedData} */
let compared;

/** @type {() => Promise<void>} */
async function drawComparison() {
  const found = await unpacked(present(document.getElementById("data")?.textContent));
  compared = found;
  data = found; // of which the tools of a table look at the tests' names and parameters
  data.tests.id = compared.rows.test.map((test) => compared.ids[test]);
  present(document.getElementById("no-script")).remove();
  comparedTable(present(document.getElementById("differences")?.parentElement));
}

/** @type {DrawSection} */
function comparedTable(section) {
  /** @type {HTMLTableElement | null} */
  const table = section.querySelector("table.beside");
  if (!table) return false;
  table.setAttribute("role", "table");
  const state = newState();
  /** @type {Set<string>} */
  const kinds = new Set();
  const shown = element("p", { class: "shown", role: "status", "aria-live": "polite" });
  const texts = data.tests.id.map((_, row) => comparedText(row));
  const rows = windowed(table, (row) => comparedRow(row, state.columns));
  const show = () => {
    const order = comparedOrder(state).filter((row) => isComparedKept(state, kinds, row, texts[row]));
    rows.show(order);
    shown.textContent = `${order.length} of ${texts.length} shown`;
  };
  const redraw = () => {
    makeHeads(table, state, redraw);
    show();
  };
  // On a phone the worst rows would be far below.
  const tools = element("details", { class: "filtering", open: window.innerWidth >= 700 }, element("summary", {}, "Filters"));
  tools.append(comparedTools(state, kinds, { show, redraw }, shown));
  section.insertBefore(tools, table);
  if (texts.length > ALL_DRAWN) section.insertBefore(windowNote(), table);
  redraw();
  return true;
}

/** @type {(state: TableState, kinds: Set<string>, acts: TableActs, shown: HTMLElement) => HTMLFormElement} */
function comparedTools(state, kinds, { show, redraw }, shown) {
  const input = wordsInput(state, show);
  input.setAttribute("placeholder", "test, metric, verdict, why");
  const label = element("label", {}, element("span", {}, "Filter ", element("kbd", {}, "/")), input);
  const tools = element("form", { class: "tools filters", role: "search", "aria-label": "Differences" }, label);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.append(...paramFilters(state, show), shown);
  const words = [...new Set(compared.words.map(([word]) => word))];
  const { rows } = compared;
  tools.append(chips("Verdict", countedPlaces(words, rows.word.map(wordOf)), state.verdicts, show));
  const ofKinds = countedPlaces(compared.kinds, rows.kind.map((kind) => compared.kinds[kind]));
  if (ofKinds.length > 1) tools.append(chips("Of", ofKinds, kinds, show));
  if (variedParams().length) tools.append(columnChips(state, redraw));
  return tools;
}

/** @type {(word: number) => string} */
function wordOf(word) {
  return compared.words[word][0];
}

/** @type {(names: string[], found: string[]) => [name: string, count: number][]} */
function countedPlaces(names, found) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const name of found) counts.set(name, (counts.get(name) ?? 0) + 1);
  return names.flatMap((name) => (counts.has(name) ? [[name, counts.get(name) ?? 0]] : []));
}

/** @type {(row: number) => string} */
function comparedText(row) {
  const { rows, names } = compared;
  const params = data.tests.params[row];
  const values = [];
  for (let at = 0; at < params.length; at += 2) values.push(data.params[params[at]].values[params[at + 1]]);
  const told = [data.tests.id[row], names[rows.name[row]][0], wordOf(rows.word[row]), rows.why[row], ...values];
  return told.join("\n").toLowerCase();
}

// All words must be there; of verdicts and of what a row is about, one of those chosen; of a parameter, the value chosen.
/** @type {(state: TableState, kinds: Set<string>, row: number, text: string) => boolean} */
function isComparedKept(state, kinds, row, text) {
  if (state.verdicts.size && !state.verdicts.has(wordOf(compared.rows.word[row]))) return false;
  if (kinds.size && !kinds.has(compared.kinds[compared.rows.kind[row]])) return false;
  for (const [param, value] of state.params) {
    if (valueOfParam(data.tests.params[row], param) !== value) return false;
  }
  return state.words.split(/\s+/).every((word) => text.includes(word));
}

/** @type {(state: SortState) => number[]} */
function comparedOrder(state) {
  const order = data.tests.id.map((_, row) => row);
  return state.column === null ? order : order.sort(directed(comparingRows(state, state.column), state.down));
}

/** @type {(state: SortState, column: number) => Compare} */
function comparingRows(state, column) {
  const { rows, names } = compared;
  /** @type {(own: Figure[]) => Compare} */
  const byOrder = (own) => (one, other) => withoutLast(own[one], own[other], difference);
  switch (column) {
    case 0:
      return (one, other) => rows.word[one] - rows.word[other];
    case 1:
      return byText("name", (row) => data.tests.id[row]);
    case 2:
      return byText("metric", (row) => names[rows.name[row]][0]);
    case 3:
      return byOrder(rows.oldOrder);
    case 4:
      return byOrder(rows.newOrder);
    case 5:
      return byOrder(rows.changeOrder);
    case 6:
      return byText("why", (row) => rows.why[row] || null);
    default:
      return byParam(state.columns[column - ROW_COLUMNS]);
  }
}

/** @type {(row: number, columns: number[]) => HTMLElement} */
function comparedRow(row, columns) {
  const { rows, names, words } = compared;
  const [word, mark, isBad] = words[rows.word[row]];
  const [name, isMetric] = names[rows.name[row]];
  const cells = [
    element("td", { role: "cell" }, element("span", { class: `mark ${mark}` }, word)),
    element("th", { scope: "row", role: "rowheader" }, element("code", {}, data.tests.id[row])),
    element("td", { role: "cell" }, isMetric ? element("code", {}, name) : name),
    sideCell("A", rows.old[row], rows.oldSaid[row]),
    sideCell("B", element("strong", {}, rows.new[row]), rows.newSaid[row]),
    element("td", { role: "cell" }, rows.change[row]),
    element("td", { role: "cell" }, rows.why[row]),
    ...columns.map((param) => element("td", { role: "cell", class: "param" }, paramText(row, param))),
  ];
  return element("tbody", { class: isBad ? "bad" : null, role: "rowgroup" }, element("tr", { role: "row" }, ...cells));
}

/** @type {(side: string, value: Child, said: string) => HTMLElement} */
function sideCell(side, value, said) {
  return element("td", { role: "cell", "data-side": side }, value, said ? element("small", {}, said) : null);
}

drawComparison()
  .catch((error) => tellOfFailure(present(document.querySelector("main")), error))
  .finally(() => document.documentElement.setAttribute("data-drawn", ""));
