// The rows of the table of tests: what is seen at once, and what can be unfolded, which comes from chunks.

const CHUNK = 100; // tests, as document.py packs them
const ROW_COLUMNS = 7;

/** @type {Map<number, Promise<Unfolded[]>>} */
const asked = new Map();
/** @type {Map<number, Unfolded[]>} */
const known = new Map();

// The tests that a reader has unfolded, by their anchors: they stay so where their rows are drawn anew.
/** @type {Set<string>} */
const unfoldedTests = new Set();

// What can be unfolded of a test.
/** @type {(place: number) => Promise<Unfolded>} */
async function unfoldedOf(place) {
  const chunk = Math.floor(place / CHUNK);
  const wanted = asked.get(chunk) ?? unpacked(chunksOf("details")[chunk]);
  asked.set(chunk, wanted);
  known.set(chunk, await wanted);
  return present(known.get(chunk))[place % CHUNK];
}

/** @type {(place: number, columns: number[]) => HTMLElement} */
function testRow(place, columns) {
  const [took, memory, headline, attempt, earlier, more, metrics] = data.tests.row[place];
  const outcome = data.outcomes[data.tests.outcome[place]];
  const isBad = data.tests.outcome[place] <= data.outcomes.indexOf("not-run");
  const name = element("th", { scope: "row", role: "rowheader" }, element("code", {}, data.tests.id[place]));
  if (attempt > 1) name.append(" ", element("span", { class: "mark" }, `attempt ${attempt}`));
  if (earlier) {
    const from = element("span", { class: "muted" }, "kept from run ", element("code", {}, earlier));
    name.append(" ", element("span", { class: "mark" }, "earlier"), " ", from);
  }
  if (headline) name.append(" ", element("span", { class: "headline" }, headline));
  const last = element("td", { role: "cell" }, ...metrics.flatMap((metric) => [metricCell(metric), " "]));
  if (more) last.append(element("span", { class: "muted" }, `and ${more} more`));
  const texts = [took, data.tests.worker[place] || DASH, devicesText(place) ?? DASH, memory];
  const row = element(
    "tr",
    { role: "row" },
    element("td", { role: "cell" }, element("span", { class: `is-${outcome}` }, outcome)),
    name,
    ...texts.map((text) => element("td", { role: "cell" }, text)),
    last,
    ...columns.map((param) => element("td", { role: "cell", class: "param" }, paramText(place, param))),
  );
  const details = element("details", {}, element("summary", {}, "Details"), element("div", {}));
  const cell = element("td", { colspan: ROW_COLUMNS + columns.length, role: "cell" }, details);
  const anchor = data.tests.anchor[place];
  const group = { id: anchor, class: isBad ? "bad" : null, role: "rowgroup" };
  const made = element("tbody", group, row, element("tr", { role: "row" }, cell));
  details.open = unfoldedTests.has(anchor);
  details.addEventListener("toggle", () => {
    if (!details.isConnected) return;
    unfoldedTests[details.open ? "add" : "delete"](anchor);
    if (!details.open) return;
    fillDetails(made, place);
    showPictures(made);
  });
  if (known.has(Math.floor(place / CHUNK))) fillDetails(made, place);
  return made;
}

/** @type {(place: number, param: number) => string} */
function paramText(place, param) {
  const value = valueOfParam(data.tests.params[place], param);
  return value === null ? DASH : data.params[param].values[value];
}

/** @type {(metric: ShownMetric) => HTMLElement} */
function metricCell([name, value, change, verdict, kind]) {
  const made = element("span", {}, element("code", {}, name), " ", element("strong", {}, value));
  if (change) made.append(` ${change}`);
  if (verdict) made.append(" ", element("span", { class: `mark ${kind}` }, verdict));
  return made;
}

// What can be unfolded, once: where its chunk has been read, at once.
/** @type {(group: HTMLElement, place: number) => void} */
function fillDetails(group, place) {
  const holder = present(group.querySelector("details > div"));
  if (holder.childElementCount) return;
  const found = known.get(Math.floor(place / CHUNK))?.[place % CHUNK];
  if (found) {
    holder.replaceChildren(...detailsParts(found, place));
    if (present(group.querySelector("details")).open) showPictures(holder);
    holder.dispatchEvent(new CustomEvent("filled", { bubbles: true }));
  } else {
    holder.textContent = "…";
    const failed = (/** @type {Error} */ error) => (holder.textContent = `This could not be read: ${error.message}`);
    unfoldedOf(place).then(() => fillDetails(group, place), failed);
  }
}

/** @type {(found: Unfolded, place: number) => HTMLElement[]} */
function detailsParts(found, place) {
  const list = element("dl", {});
  for (const metric of found.judged ?? []) list.append(...judgedLines(metric));
  for (const [name, said] of found.facts ?? []) {
    const text = name === "Source" && found.source ? element("a", { href: found.source }, said) : said;
    list.append(element("dt", {}, name), element("dd", {}, text));
  }
  const anchor = `#${data.tests.anchor[place]}`;
  list.append(element("dt", {}, "Link"), element("dd", {}, element("a", { href: anchor }, anchor)));
  const message = found.message ? [element("pre", {}, found.message)] : [];
  const output = (found.output ?? []).flatMap(([name, text]) => [element("h4", {}, name), element("pre", {}, text)]);
  const items = itemsPart(place);
  return [...(items ? [items] : []), ...message, ...keptParts(found.kept ?? []), ...output, list];
}

/** @type {(metric: JudgedMetric) => HTMLElement[]} */
function judgedLines([name, value, said, verdict, kind]) {
  const line = element("dd", {}, element("strong", {}, value));
  if (said) line.append(" ", element("span", { class: "muted" }, `(${said})`));
  if (verdict) line.append(" ", element("span", { class: `mark ${kind}` }, verdict));
  return [element("dt", {}, element("code", {}, name)), line];
}
