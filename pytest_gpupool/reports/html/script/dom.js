// The page's elements. Text only ever becomes a text node or an attribute's value: nothing is parsed as HTML.

// What all parts draw from; start.js reads it before it calls any of them.
/** @type {PageData} */
let data;

// The tests by what links to them.
/** @type {Map<string, number>} */
const placesByAnchor = new Map();

// What the page always has; where it is missing the part that looks for it says so.
/** @type {<T>(value: T | null | undefined) => T} */
function present(value) {
  if (value === null || value === undefined) throw new Error("something that the page always has is missing");
  return value;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 */
function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** @type {<T extends Element>(node: T, attributes: Attributes, children: Child[]) => T} */
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** @type {(width: number, height: number, label: string, ...children: Child[]) => SVGSVGElement} */
function drawing(width, height, label, ...children) {
  const box = { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label };
  return shape("svg", box, ...children);
}

/** @type {(text: string, label: string, act: () => void) => HTMLButtonElement} */
function button(text, label, act) {
  const made = element("button", { type: "button", "aria-label": label, title: label }, text);
  made.addEventListener("click", act);
  return made;
}

// A labelled choice among [value, text] pairs; `act` is told the value chosen.
/** @type {(label: string, options: Choice[], chosen: string | null, act: (value: string) => void) => HTMLElement} */
function choice(label, options, chosen, act) {
  const select = element("select");
  for (const [value, text] of options) {
    select.append(element("option", { value, selected: value === chosen }, text));
  }
  select.addEventListener("change", () => act(select.value));
  return element("label", {}, label, select);
}

// A table for those who cannot see a chart, and for those who want its numbers.
/** @type {(caption: string, heads: string[], rows: string[][]) => HTMLElement} */
function asTable(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text))),
  );
  const table = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
  const scroll = element("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, table);
  return element("details", { class: "numbers" }, element("summary", {}, "As a table"), scroll);
}

// Keep what has the focus where its controls are made anew.
/** @type {(holder: HTMLElement, ...children: Node[]) => void} */
function replaceKeepingFocus(holder, ...children) {
  /** @type {() => NodeListOf<HTMLElement>} */
  const controls = () => holder.querySelectorAll("select, input, button");
  const place = [...controls()].findIndex((each) => each === document.activeElement);
  holder.replaceChildren(...children);
  if (place >= 0) controls()[place]?.focus();
}

// Draw again for another width: when the window changes, and for paper, which is narrower. Returns what draws anew.
/** @type {(holder: HTMLElement, draw: (width: number) => void, paper?: number) => Redraw} */
function keepDrawn(holder, draw, paper = 720) {
  let last = 0;
  /** @type {(width: number) => void} */
  const onWidth = (width) => {
    if (width > 0 && width !== last) draw((last = width));
  };
  new ResizeObserver(() => onWidth(Math.floor(holder.clientWidth))).observe(holder);
  window.addEventListener("beforeprint", () => onWidth(paper));
  window.addEventListener("afterprint", () => onWidth(Math.floor(holder.clientWidth)));
  onWidth(Math.floor(holder.clientWidth));
  return () => draw(last || paper);
}

// Unfold a test in the table of tests, and go there.
/** @type {(place: number) => void} */
function goToTest(place) {
  const hash = `#${data.tests.anchor[place]}`;
  if (location.hash === hash) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = hash;
}

/** @type {(section: Element, error: unknown) => void} */
function tellOfFailure(section, error) {
  console.error(error);
  const reason = error instanceof Error ? error.message : String(error);
  section.append(element("p", { class: "mark bad" }, `This part could not be drawn: ${reason}`));
}
