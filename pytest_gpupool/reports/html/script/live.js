// A page of a run that goes on: loaded again when there is more to see, with all as its reader has left it.

const LIVE_SECONDS = 5;
const IDLE_MS = 1500; // a reader who does nothing for so long is not interrupted
const SELECTED_MS = 60_000; // so long a text that is selected stays so
const LEFT = `gpupool ${location.pathname}`;

// How the page was left when it was loaded again; null where it was opened by a reader.
const left = takeLeft();

/** @type {() => Left | null} */
function takeLeft() {
  try {
    const text = sessionStorage.getItem(LEFT);
    sessionStorage.removeItem(LEFT);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null; // a file's page may have nowhere to keep anything
  }
}

// What the parts are drawn with: which tests are unfolded, and what was chosen among their items.
/** @type {() => void} */
function recall() {
  for (const anchor of left?.rows ?? []) unfoldedTests.add(anchor);
  for (const [anchor, state] of left?.items ?? []) itemStates.set(anchor, state);
}

// The rest, once all parts are drawn.
/** @type {() => void} */
function restore() {
  if (!left) return;
  for (const [name, value] of left.controls) applyTo(controlsByName().get(name), value);
  if (left.sorted) sortBy(...left.sorted);
  tables().forEach((details, number) => (details.open = present(left).tables.includes(number)));
  goBack(left).finally(() => (history.scrollRestoration = "auto"));
}

/** @type {() => void} */
function leave() {
  const mark = placeMark();
  /** @type {Left} */
  const found = {
    rows: [...unfoldedTests],
    items: [...itemStates],
    controls: [...controlsByName()].filter(([, control]) => !control.closest("tbody")).map(([name, each]) => [name, chosenIn(each)]),
    sorted: sortedNow(),
    tables: tables().flatMap((details, number) => (details.open ? [number] : [])),
    focus: focusNow(),
    mark: mark && [mark.id, mark.getBoundingClientRect().top],
    y: window.scrollY,
  };
  try {
    sessionStorage.setItem(LEFT, JSON.stringify(found));
    history.scrollRestoration = "manual";
  } finally {
    location.reload();
  }
}

Object.assign(visit, {
  isReturn: left !== null,
  begin: recall,
  drawn: () => {
    restore();
    keepLive();
  },
});

// Fields and choices by where they are and what they are called; numbers in brackets change with the run.
/** @type {() => Map<string, HTMLInputElement | HTMLSelectElement>} */
function controlsByName() {
  const found = new Map();
  for (const control of document.querySelectorAll("main input, main select")) {
    const label = control.closest("label");
    const parts = [...(label?.childNodes ?? [])].filter((each) => each !== control && each.nodeName !== "SMALL");
    const words = parts.map((each) => each.textContent).join("").replace(/\s*\(.*\)$/u, "");
    const group = control.closest("tbody")?.id ?? control.closest("section")?.getAttribute("aria-labelledby");
    const name = [group, control.closest("fieldset")?.querySelector("legend")?.textContent, words].join("\n");
    found.set(found.has(name) ? `${name}\n${found.size}` : name, control);
  }
  return found;
}

/** @type {(control: HTMLInputElement | HTMLSelectElement) => string | boolean} */
function chosenIn(control) {
  if (control instanceof HTMLSelectElement) return optionText(control.selectedOptions[0]);
  return control.type === "checkbox" ? control.checked : control.value;
}

// Without the number of tests that it begins with where it is a kind of failure.
/** @type {(option: HTMLOptionElement | undefined) => string} */
function optionText(option) {
  return (option?.text ?? "").replace(/^\d+: /u, "");
}

/** @type {(control: HTMLInputElement | HTMLSelectElement | undefined, value: string | boolean) => void} */
function applyTo(control, value) {
  if (!control || chosenIn(control) === value) return;
  if (control instanceof HTMLSelectElement) {
    const option = [...control.options].find((each) => optionText(each) === value);
    if (!option) return;
    control.value = option.value;
  } else if (typeof value === "boolean") {
    control.checked = value;
  } else {
    control.value = value;
  }
  control.dispatchEvent(new Event(control.matches("select, [type=checkbox]") ? "change" : "input"));
}

/** @type {() => [head: string, order: string] | null} */
function sortedNow() {
  const head = document.querySelector('table.tests th[aria-sort]:not([aria-sort="none"])');
  return head && [head.textContent ?? "", head.getAttribute("aria-sort") ?? ""];
}

/** @type {(text: string, order: string) => void} */
function sortBy(text, order) {
  const head = [...document.querySelectorAll("table.tests th[aria-sort]")].find((each) => each.textContent === text);
  // One press sorts, another one turns it round.
  for (let press = 0; press < 2 && head && head.getAttribute("aria-sort") !== order; press += 1) head.querySelector("button")?.click();
}

// The charts' tables of numbers.
/** @type {() => HTMLDetailsElement[]} */
function tables() {
  return [...document.querySelectorAll("main details.numbers")].filter((each) => each instanceof HTMLDetailsElement);
}

// The last thing with a name in the window's upper half, or above it, by which the reader's place is found again.
/** @type {() => Element | null} */
function placeMark() {
  if (!window.scrollY) return null;
  const seen = [...document.querySelectorAll("main [id]")].filter((each) => each.getClientRects().length);
  return seen.filter((each) => each.getBoundingClientRect().top <= window.innerHeight / 2).at(-1) ?? null;
}

/** @type {() => Left["focus"]} */
function focusNow() {
  const at = document.activeElement;
  if (at?.matches("table.tests > tbody > tr > td > details > summary")) return [`#${at.closest("tbody")?.id}`, null];
  const found = [...controlsByName()].find(([, control]) => control === at);
  if (!found) return null;
  const isText = at instanceof HTMLInputElement && at.type === "search";
  return [found[0], isText ? at.selectionStart : null];
}

// To the place and the field where the reader was: rows above it get their heights one after the other.
/** @type {(was: Left) => Promise<void>} */
async function goBack({ mark, y, focus }) {
  let isTouched = false;
  for (const kind of ["wheel", "keydown", "pointerdown"]) addEventListener(kind, () => (isTouched = true), { once: true, passive: true });
  let isFocused = focus === null;
  for (let round = 0; round < 20 && !isTouched; round += 1) {
    isFocused ||= focusOn(focus);
    const at = mark && document.getElementById(mark[0]);
    if (mark && at) window.scrollBy(0, at.getBoundingClientRect().top - mark[1]);
    else window.scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
}

/** @type {(focus: Left["focus"]) => boolean} */
function focusOn(focus) {
  const [name, caret] = focus ?? ["", null];
  const found = name.startsWith("#") ? document.getElementById(name.slice(1))?.querySelector("summary") : controlsByName().get(name);
  found?.focus({ preventScroll: true });
  if (found instanceof HTMLInputElement && caret !== null) found.setSelectionRange(caret, caret);
  return Boolean(found);
}

// Ask again and again whether there is more, as long as the run goes on.
/** @type {() => void} */
function keepLive() {
  const mark = document.querySelector('meta[name="gpupool-live"]')?.getAttribute("content");
  if (!mark) return;
  const note = element("p", { class: "muted", role: "status" });
  document.querySelector("header")?.append(note);
  let touched = -Infinity;
  for (const kind of ["keydown", "pointerdown", "wheel", "scroll", "input"]) {
    addEventListener(kind, () => (touched = performance.now()), { capture: true, passive: true });
  }
  const isBusy = () => {
    const still = performance.now() - touched;
    return still < IDLE_MS || (String(getSelection()) !== "" && still < SELECTED_MS);
  };
  const wait = Math.max(1000 * LIVE_SECONDS, 3 * performance.now()); // a large page takes long to draw
  let isNew = false;
  const look = async () => {
    if (!isNew && !document.hidden) {
      const now = await markNow();
      note.textContent = now === null ? "gpupool view does not serve this page any more: it stays as it is." : "";
      isNew = now !== null && now !== `"${mark}"`;
    }
    if (isNew && !document.hidden && !isBusy()) leave();
    else setTimeout(look, isNew ? IDLE_MS : wait);
  };
  setTimeout(look, wait);
}

// What the server says of the page as it would be now; null where it does not answer.
/** @type {() => Promise<string | null>} */
async function markNow() {
  try {
    const response = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
    return response.ok ? response.headers.get("ETag") : null;
  } catch {
    return null;
  }
}
