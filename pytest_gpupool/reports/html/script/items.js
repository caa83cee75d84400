// The items of a test: what broke first, searched and filtered, with what was said now and before side by side.

const ITEMS_AT_ONCE = 50;

// What a reader has chosen among the items of tests, by their anchors: it stays so where their rows are drawn anew.
/** @type {Map<string, ItemState>} */
const itemStates = new Map();

/** @type {(place: number) => HTMLElement | null} */
function itemsPart(place) {
  const told = data.items[place];
  if (!told) return null;
  const [, , count, broke, fixed, wrong] = told;
  const words = [broke ? `${broke} broke` : "", fixed ? `${fixed} fixed` : "", `${wrong} wrong`].filter(Boolean);
  const holder = element("div", { class: "items" });
  const text = `${counted(count, "item")}: ${words.join(", ")}`;
  const show = (/** @type {ItemState} */ state) => {
    open.disabled = true;
    return showItems(holder, place, state).catch((error) => tellOfFailure(holder, error));
  };
  const anchor = data.tests.anchor[place];
  const open = button(text, `Show the items of ${data.tests.id[place]}`, () => {
    /** @type {ItemState} */
    const state = { words: "", kind: ALL, score: ALL, most: ITEMS_AT_ONCE, low: null, high: null, open: [] };
    itemStates.set(anchor, state);
    show(state).then(() => holder.querySelector("input")?.focus({ preventScroll: true }));
  });
  if (broke) open.classList.add("bad");
  holder.append(open);
  const state = itemStates.get(anchor);
  if (state) show(state);
  return holder;
}

/** @type {(holder: HTMLElement, place: number, state: ItemState) => Promise<void>} */
async function showItems(holder, place, state) {
  const [first, chunks, count] = data.items[place];
  const lines = chunksOf("items").slice(first, first + chunks);
  /** @type {Item[]} */
  let all = await unpacked(lines[0]);
  const list = element("ul", { class: "item-list" });
  const note = element("p", { class: "muted", role: "status", "aria-live": "polite" });
  const more = button("more items", "Show more of the items", () => {
    state.most += ITEMS_AT_ONCE;
    redraw();
  });
  const draw = () => {
    const wanted = all.filter((item) => isItemWanted(item, state));
    list.replaceChildren(...wanted.slice(0, state.most).map((item) => itemLine(item, state)));
    const isAll = all.length === count;
    note.textContent = `${Math.min(state.most, wanted.length)} of ${isAll ? wanted.length : count} items shown`;
    more.hidden = isAll && wanted.length <= state.most;
  };
  // All of them are read as soon as somebody looks for one, or beyond the first.
  const redraw = () => {
    if (all.length === count || (isUnfiltered(state) && state.most <= all.length)) {
      draw();
      return;
    }
    Promise.all(lines.map(unpacked)).then(
      (parts) => {
        all = parts.flat();
        draw();
      },
      (error) => tellOfFailure(holder, error),
    );
  };
  const scores = [...new Set(all.flatMap((item) => Object.keys(item[3])))];
  holder.append(itemTools(state, scores, redraw), note, list, more);
  redraw();
}

/** @type {(state: ItemState) => boolean} */
function isUnfiltered({ words, kind, low, high }) {
  return !words && kind === ALL && low === null && high === null;
}

/** @type {(state: ItemState, scores: string[], redraw: Redraw) => HTMLElement} */
function itemTools(state, scores, redraw) {
  const input = element("input", { type: "search", placeholder: "id, input, output, target", value: state.words });
  input.addEventListener("input", () => {
    Object.assign(state, { words: input.value.toLowerCase().trim(), most: ITEMS_AT_ONCE });
    redraw();
  });
  /** @type {Choice[]} */
  const kinds = [[ALL, "all"], ...["flipped", "broke", "fixed", "wrong", "right"].map((each) => /** @type {Choice} */ ([each, each]))];
  const kind = choice("Which", kinds, state.kind, (value) => {
    Object.assign(state, { kind: value, most: ITEMS_AT_ONCE });
    redraw();
  });
  const tools = element("div", { class: "tools" }, element("label", {}, "Search items", input), kind);
  if (!scores.length) return tools;
  if (!scores.includes(state.score)) state.score = scores[0];
  tools.append(
    choice("Score", scores.map((each) => [each, each]), state.score, (value) => {
      state.score = value;
      redraw();
    }),
    bound("at least", state.low, (value) => (state.low = value), redraw),
    bound("at most", state.high, (value) => (state.high = value), redraw),
  );
  return tools;
}

/** @type {(label: string, value: Figure, set: (value: Figure) => void, redraw: Redraw) => HTMLElement} */
function bound(label, value, set, redraw) {
  const input = element("input", { type: "number", step: "any", size: 6, value });
  input.addEventListener("input", () => {
    set(input.value === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);
    redraw();
  });
  return element("label", {}, label, input);
}

/** @type {(item: Item, state: ItemState) => boolean} */
function isItemWanted([id, flip, right, scores, input, target, output], { words, kind, score, low, high }) {
  const isKind = { flipped: flip !== null, broke: flip === "broke", fixed: flip === "fixed" };
  if (kind in isKind && !isKind[/** @type {keyof typeof isKind} */ (kind)]) return false;
  if ((kind === "wrong" && right !== false) || (kind === "right" && right !== true)) return false;
  const value = scores[score];
  if (low !== null && !(typeof value === "number" && value >= low)) return false;
  if (high !== null && !(typeof value === "number" && value <= high)) return false;
  if (!words) return true;
  const text = [id, input, target, output].join("\n").toLowerCase();
  return words.split(/\s+/).every((word) => text.includes(word));
}

/** @type {(item: Item, state: ItemState) => HTMLElement} */
function itemLine(item, state) {
  const [id, flip, right, scores, input] = item;
  const word = flip ?? (right === false ? "wrong" : right ? "right" : "");
  const kind = flip === "broke" || (right === false && !flip) ? "bad" : flip === "fixed" ? "good" : "ok";
  const told = Object.entries(scores).map(([name, value]) => `${name} ${scoreText(value)}`);
  const summary = element("summary", {}, element("code", {}, id), " ");
  if (word) summary.append(element("span", { class: `mark ${kind}` }, word));
  summary.append(element("small", {}, ` ${told.join(", ")} `), element("span", { class: "muted" }, firstLine(input)));
  const details = element("details", { class: "item" }, summary);
  details.open = state.open.includes(id);
  details.addEventListener("toggle", () => {
    if (!details.isConnected) return;
    state.open = state.open.filter((each) => each !== id).concat(details.open ? [id] : []);
    if (details.open && details.childElementCount === 1) details.append(...itemParts(item));
  });
  return element("li", {}, details);
}

/** @type {(value: number | string) => string} */
function scoreText(value) {
  return typeof value === "number" ? figure(value) : value;
}

/** @type {(text: string | null) => string} */
function firstLine(text) {
  return (text ?? "").split("\n")[0].slice(0, 120);
}

/** @type {(item: Item) => HTMLElement[]} */
function itemParts([, , , , input, target, output, before, cut]) {
  const parts = [];
  if (cut.length) parts.push(element("p", { class: "muted" }, `Only the beginning was kept of: ${cut.join(", ")}.`));
  if (input !== null) parts.push(element("h4", {}, "input"), element("pre", {}, input));
  const [was, scores, untold] = before ?? [null, {}, null];
  const told = Object.entries(scores).map(([name, value]) => `${name} ${scoreText(value)}`).join(", ");
  // Without what was said before the output stands beside what it should have been.
  const [left, heading] = was !== null ? [was, "output before"] : [target, "target"];
  const [old, now] = left !== null && output !== null ? marked(left, output) : [[left ?? ""], [output ?? ""]];
  const pair = element("div", { class: "sides" });
  if (left !== null) pair.append(element("div", {}, element("h4", {}, heading), element("pre", {}, ...old)));
  if (output !== null) pair.append(element("div", {}, element("h4", {}, "output"), element("pre", {}, ...now)));
  parts.push(pair);
  if (was !== null && target !== null) parts.push(element("h4", {}, "target"), element("pre", {}, target));
  if (told) parts.push(element("p", { class: "muted" }, `Before: ${told}.`));
  if (untold) parts.push(element("p", { class: "muted" }, untold));
  return parts;
}

const MOST_COMPARED = 2000; // words; more take too long to be compared one by one

// Two texts with what only one of them has marked.
/** @type {(one: string, other: string) => [Child[], Child[]]} */
function marked(one, other) {
  const [old, now] = [one, other].map((text) => text.match(/\s+|\w+|[^\s\w]/gu) ?? []);
  let begin = 0;
  while (begin < old.length && begin < now.length && old[begin] === now[begin]) begin += 1;
  let end = 0;
  while (end < Math.min(old.length, now.length) - begin && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const [left, right] = [old.slice(begin, old.length - end), now.slice(begin, now.length - end)];
  const isLong = left.length * right.length > MOST_COMPARED ** 2;
  const common = isLong ? { left: new Set(), right: new Set() } : inBoth(left, right);
  const [head, tail] = [old.slice(0, begin).join(""), end ? old.slice(-end).join("") : ""];
  return [
    [head, ...withMarks(left, common.left, "del"), tail],
    [head, ...withMarks(right, common.right, "ins"), tail],
  ];
}

// The places of a longest common subsequence in both.
/** @type {(left: string[], right: string[]) => { left: Set<number>, right: Set<number> }} */
function inBoth(left, right) {
  const width = right.length + 1;
  const lengths = new Uint16Array((left.length + 1) * width);
  for (let one = left.length - 1; one >= 0; one -= 1) {
    for (let other = right.length - 1; other >= 0; other -= 1) {
      const at = one * width + other;
      const rest = Math.max(lengths[at + width], lengths[at + 1]);
      lengths[at] = left[one] === right[other] ? lengths[at + width + 1] + 1 : rest;
    }
  }
  const found = { left: new Set(), right: new Set() };
  for (let one = 0, other = 0; one < left.length && other < right.length; ) {
    const at = one * width + other;
    if (left[one] === right[other]) {
      found.left.add(one);
      found.right.add(other);
      one += 1;
      other += 1;
    } else if (lengths[at + width] >= lengths[at + 1]) {
      one += 1;
    } else {
      other += 1;
    }
  }
  return found;
}

/** @type {(words: string[], common: Set<number>, tag: "ins" | "del") => Child[]} */
function withMarks(words, common, tag) {
  /** @type {Child[]} */
  const parts = [];
  for (let at = 0; at < words.length; ) {
    const begin = at;
    const isCommon = common.has(at);
    while (at < words.length && common.has(at) === isCommon) at += 1;
    const text = words.slice(begin, at).join("");
    parts.push(isCommon ? text : element(tag, {}, text));
  }
  return parts;
}
