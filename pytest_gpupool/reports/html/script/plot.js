// A plain frame for charts: grid, axes, their numbers and names.

const MARGIN = { top: 20, right: 16, bottom: 40 };
const CHARACTER = 7; // the width of one, at most

// `x` and `y`: from, to, ticks {step, at}, text (of a tick), name.
/** @type {(width: number, height: number, label: string, x: ChartAxis, y: ChartAxis) => Frame} */
function plot(width, height, label, x, y) {
  const left = 18 + CHARACTER * Math.max(3, ...y.ticks.at.map((value) => y.text(value).length));
  const inner = { right: width - MARGIN.right, bottom: height - MARGIN.bottom };
  const across = scale(x.from, x.to, left, inner.right);
  const up = scale(y.from, y.to, inner.bottom, MARGIN.top);
  const svg = drawing(width, height, label);
  for (const value of y.ticks.at) {
    svg.append(shape("path", { class: "grid", d: `M${left} ${up(value)}H${inner.right}` }));
    svg.append(shape("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, y.text(value)));
  }
  for (const value of x.ticks.at) {
    svg.append(shape("text", { x: across(value), y: inner.bottom + 17, "text-anchor": "middle" }, x.text(value)));
  }
  svg.append(shape("path", { class: "axis", d: `M${left} ${inner.bottom}H${inner.right}` }));
  svg.append(shape("text", { x: inner.right, y: height - 4, "text-anchor": "end" }, x.name));
  svg.append(shape("text", { x: 4, y: 11 }, y.name));
  return { svg, across, up, left, right: inner.right, bottom: inner.bottom };
}

/** @type {<T extends Element>(node: T, text: string) => T} */
function titled(node, text) {
  node.append(shape("title", {}, text));
  return node;
}

// Verdicts and outcomes are told by form as well as by colour.
/** @type {(kind: string, x: number, y: number, attributes?: Attributes) => SVGElement} */
function marker(kind, x, y, attributes = {}) {
  /** @type {Record<string, string | undefined>} */
  const forms = {
    regressed: `M${x - 6} ${y - 4}h12l-6 10z`,
    improved: `M${x - 6} ${y + 4}h12l-6 -10z`,
    invalid: `M${x - 5} ${y - 5}h10v10h-10z`,
  };
  if (forms[kind]) return shape("path", { d: forms[kind], ...attributes });
  return shape("circle", { cx: x, cy: y, r: 4.5, ...attributes });
}
