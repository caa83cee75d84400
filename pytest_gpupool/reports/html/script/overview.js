// Small charts of every metric of every test over the runs on record, those that need a look first.

const MOST_CARDS = 48; // at a time
const CARD = { width: 220, height: 70 };

/** @type {DrawSection} */
function overview(section) {
  const all = cards();
  if (!all.some((card) => card.runs > 1)) return false;
  /** @type {OverviewState} */
  const state = { metric: ALL, words: "", most: MOST_CARDS };
  const tools = element("div", { class: "tools" });
  const note = element("p", { class: "drawn", role: "status", "aria-live": "polite" });
  const holder = element("ul", { class: "cards-grid" });
  const more = button(`${MOST_CARDS} more`, "Draw more of the charts", () => {
    state.most += MOST_CARDS;
    redraw();
  });
  const redraw = () => {
    const wanted = all.filter((card) => isWanted(card, state));
    holder.replaceChildren(...wanted.slice(0, state.most).map(overviewCard));
    more.hidden = wanted.length <= state.most;
    note.textContent = `${Math.min(state.most, wanted.length)} of ${counted(wanted.length, "metric")} drawn`;
  };
  tools.append(...overviewTools(state, redraw), note);
  const text = "Each metric of each test over the runs on record: the line is its value, the band what may change.";
  section.append(element("p", { class: "muted" }, text), tools, holder, more);
  redraw();
  return true;
}

/** @type {(state: OverviewState, redraw: Redraw) => HTMLElement[]} */
function overviewTools(state, redraw) {
  /** @type {Choice[]} */
  const metrics = data.metrics.map((each, place) => [String(place), metricName(each)]);
  const input = element("input", { type: "search", placeholder: "part of a test's name" });
  input.addEventListener("input", () => {
    Object.assign(state, { words: input.value.toLowerCase(), most: MOST_CARDS });
    redraw();
  });
  return [
    choice("Metric", [[ALL, "all"], ...metrics], ALL, (value) => {
      Object.assign(state, { metric: value, most: MOST_CARDS });
      redraw();
    }),
    element("label", {}, "Only tests with", input),
  ];
}

/** @type {(card: Card, state: OverviewState) => boolean} */
function isWanted(card, state) {
  if (state.metric !== ALL && Number(state.metric) !== card.metric) return false;
  return data.tests.id[data.metrics[card.metric].test[card.at]].toLowerCase().includes(state.words);
}

// Every metric of every test: the worst verdict first, then those that were measured most often.
/** @type {() => Card[]} */
function cards() {
  const found = data.metrics.flatMap((metric, number) =>
    metric.test.map((place, at) => {
      const past = data.history[number][place]?.[1] ?? [];
      const runs = 1 + past.filter((verdict) => verdict !== null).length;
      return { metric: number, at, runs, rank: metric.verdict[at] < 0 ? data.verdicts.length : metric.verdict[at] };
    }),
  );
  return found.sort((one, other) => one.rank - other.rank || Number(other.runs > 1) - Number(one.runs > 1));
}

/** @type {(card: Card) => HTMLElement} */
function overviewCard(card) {
  const metric = data.metrics[card.metric];
  const id = data.tests.id[metric.test[card.at]];
  const verdict = data.verdicts[metric.verdict[card.at]] ?? "";
  const value = figure(metric.value[card.at], metric.unit);
  const made = element("button", { type: "button", class: "card", title: `${metric.name} of ${id}` });
  const head = element("span", { class: "card-head" }, element("strong", {}, metric.name), ` ${value} `);
  if (verdict) head.append(element("span", { class: `mark ${markKind(verdict)}` }, verdict));
  const n = metric.n[card.at] === null ? "" : `, n ${metric.n[card.at]}`;
  const told = `${counted(card.runs, "run")}${n}`;
  made.append(head, sparkline(card), element("code", {}, id), element("small", {}, told));
  made.addEventListener("click", () => {
    dispatchEvent(new CustomEvent("history", { detail: { metric: card.metric, at: card.at } }));
  });
  return element("li", {}, made);
}

/** @type {(verdict: string) => string} */
function markKind(verdict) {
  return BAD_VERDICTS.includes(verdict) ? "bad" : verdict === "ok" ? "ok" : verdict === "improved" ? "good" : "odd";
}

/** @type {(card: Card) => SVGElement} */
function sparkline({ metric: number, at, runs }) {
  const metric = data.metrics[number];
  const points = pointsOf({ metric: number, at, words: "" });
  const own = points.at(-1)?.kind;
  const seen = points.filter((point) => point.kind === own).filter(hasNumber);
  const [baseline, allowed] = [metric.baseline[at], metric.allowed[at]];
  const edges = baseline === null ? [] : allowed ? [baseline - allowed, baseline + allowed] : [baseline];
  const bounds = metric.interval[at] ?? [];
  const values = [...seen.map((point) => point.value), ...edges, ...bounds].filter((value) => value !== null);
  const label = `${metricName(metric)} over ${counted(runs, "run")}`;
  const svg = drawing(CARD.width, CARD.height, label);
  if (!values.length) return svg;
  const [low, high] = roomy(values);
  const across = scale(0, Math.max(1, thisRun()), 6, CARD.width - 8);
  const up = scale(low, high, CARD.height - 4, 4);
  drawRule(svg, up, 0, CARD.width, baseline, allowed);
  const d = seen.map((point, place) => `${place ? "L" : "M"}${across(point.run)} ${up(point.value)}`).join("");
  svg.append(shape("path", { class: "line", d }));
  drawInterval(svg, up, across(thisRun()), metric.interval[at]);
  const last = seen.at(-1);
  if (last) {
    const [x, y] = [across(last.run), up(last.value)];
    svg.append(marker(last.verdict, x, y, { class: `point ${last.verdict}` }));
  }
  return svg;
}
