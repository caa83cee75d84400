// Rows that are drawn as they are scrolled to: those of a few tests all at once, those of many in blocks.

const ALL_DRAWN = 500; // rows; more would take long, fewer are found by the browser's own search
const BLOCK = 50;
const MARGIN_ROWS = 1500; // pixels above and below the window that are drawn too
const MOST_PRINTED = 1000;

// `make` draws the row of a test; `show` takes the tests in their order, `reveal` draws one of them and returns it.
/** @type {(table: HTMLTableElement, make: (place: number) => HTMLElement) => RowWindow} */
function windowed(table, make) {
  /** @type {RowBlock[]} */
  let parts = [];
  /** @type {number[]} */
  let order = [];
  let rowHeight = 42;
  let isPlanned = false;
  const draw = (/** @type {RowBlock} */ block) => {
    if (block.rows.length) return;
    block.rows = block.places.map((place, at) => numbered(make(place), block.from + at));
    block.gap.after(...block.rows);
    block.gap.style.height = "0";
  };
  const drop = (/** @type {RowBlock} */ block) => {
    if (block.rows.some((row) => row.contains(document.activeElement) || row.querySelector("details[open]"))) return;
    const height = present(block.rows.at(-1)).getBoundingClientRect().bottom - block.rows[0].getBoundingClientRect().top;
    rowHeight = Math.max(20, height / block.rows.length);
    for (const row of block.rows) row.remove();
    block.rows = [];
    block.gap.style.height = `${height}px`;
  };
  const update = () => {
    isPlanned = false;
    if (order.length <= ALL_DRAWN) return;
    // Heights that were guessed move what comes after: look again until nothing new is in sight.
    for (let round = 0; round < 4 && drawSeen(parts, draw, drop); round += 1);
  };
  const plan = () => {
    if (!isPlanned) requestAnimationFrame(update);
    isPlanned = true;
  };
  const show = (/** @type {number[]} */ wanted) => {
    order = wanted;
    for (const body of [...table.tBodies]) body.remove();
    const size = wanted.length <= ALL_DRAWN ? Math.max(1, wanted.length) : BLOCK;
    parts = [];
    for (let from = 0; from < wanted.length; from += size) {
      const places = wanted.slice(from, from + size);
      const gap = element("tbody", { class: "gap", "aria-hidden": "true" });
      gap.style.height = `${places.length * rowHeight}px`;
      parts.push({ from, places, rows: [], gap });
    }
    if (wanted.length > ALL_DRAWN) table.append(...parts.map((block) => block.gap));
    else table.append(...wanted.map((place, at) => numbered(make(place), at)));
    table.setAttribute("aria-rowcount", String(wanted.length + 1));
    if (wanted.length <= ALL_DRAWN) parts = [];
    else draw(parts[0]);
    update();
  };
  const reveal = (/** @type {number} */ place) => {
    const block = parts[Math.floor(order.indexOf(place) / BLOCK)];
    if (block) draw(block);
    return document.getElementById(data.tests.anchor[place]);
  };
  window.addEventListener("scroll", plan, { passive: true });
  window.addEventListener("resize", plan);
  window.addEventListener("beforeprint", () => parts.slice(0, MOST_PRINTED / BLOCK).forEach(draw));
  window.addEventListener("afterprint", plan);
  return { show, reveal };
}

/** @type {(group: HTMLElement, at: number) => HTMLElement} */
function numbered(group, at) {
  group.firstElementChild?.setAttribute("aria-rowindex", String(at + 2));
  return group;
}

// Draw the blocks that are in sight or near it, drop those that are far; returns whether one was drawn.
/** @type {(parts: RowBlock[], draw: (block: RowBlock) => void, drop: (block: RowBlock) => void) => boolean} */
function drawSeen(parts, draw, drop) {
  const tops = parts.map((block) => block.gap.getBoundingClientRect().top);
  const bottoms = parts.map((block, at) => tops[at + 1] ?? endOf(block));
  let isNew = false;
  parts.forEach((block, at) => {
    const isNear = bottoms[at] > -MARGIN_ROWS && tops[at] < window.innerHeight + MARGIN_ROWS;
    if (isNear && !block.rows.length) {
      draw(block);
      isNew = true;
    } else if (!isNear && block.rows.length) {
      drop(block);
    }
  });
  return isNew;
}

/** @type {(block: RowBlock) => number} */
function endOf(block) {
  return (block.rows.at(-1) ?? block.gap).getBoundingClientRect().bottom;
}
