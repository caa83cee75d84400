// How the timeline is moved, zoomed and walked through, by pointer and by key.

/** @type {(state: TimelineState, redraw: Redraw) => HTMLElement} */
function zoomButtons(state, redraw) {
  /** @type {(change: (at: TimelineState) => void) => Redraw} */
  const act = (change) => () => {
    change(state);
    redraw();
  };
  const buttons = [
    button(
      "+",
      "Zoom in",
      act((at) => zoom(at, 0.5)),
    ),
    button(
      "−",
      "Zoom out",
      act((at) => zoom(at, 2)),
    ),
    button(
      "←",
      "Earlier",
      act((at) => move(at, -0.5)),
    ),
    button(
      "→",
      "Later",
      act((at) => move(at, 0.5)),
    ),
    button("All", "Show the whole run", act(showAll)),
  ];
  return element(
    "div",
    { class: "tools" },
    element("div", { class: "buttons", role: "group", "aria-label": "Zoom" }, ...buttons),
  );
}

/** @type {(state: TimelineState, factor: number, centre?: number) => void} */
function zoom(state, factor, centre = (state.view.from + state.view.to) / 2) {
  const { from, to } = state.view;
  if (factor < 1 && (to - from) * factor < 0.01) return;
  look(state, centre - (centre - from) * factor, centre + (to - centre) * factor);
}

/** @type {(state: TimelineState, part: number) => void} */
function move(state, part) {
  const by = (state.view.to - state.view.from) * part;
  look(state, state.view.from + by, state.view.to + by);
}

/** @type {(state: TimelineState) => void} */
function showAll(state) {
  state.view = { ...state.whole };
}

// A view of that length, within the run.
/** @type {(state: TimelineState, from: number, to: number) => void} */
function look(state, from, to) {
  const length = Math.min(to - from, state.whole.to - state.whole.from);
  const start = Math.min(Math.max(from, state.whole.from), state.whole.to - length);
  state.view = { from: start, to: start + length };
}

/** @type {(state: TimelineState, step: number) => Bar} */
function choose(state, step) {
  const now = state.order.findIndex((bar) => bar.place === state.chosen);
  const next = now < 0 ? (step > 0 ? 0 : state.order.length - 1) : now + step;
  const bar = state.order[Math.min(Math.max(next, 0), state.order.length - 1)];
  state.chosen = bar.place;
  const { from, to } = state.view;
  if (bar.from < from || bar.to > to) look(state, bar.from - (to - from) / 2, bar.from + (to - from) / 2);
  return bar;
}

/** @type {(holder: HTMLElement, state: TimelineState, readout: HTMLElement, redraw: Redraw) => void} */
function listen(holder, state, readout, redraw) {
  /** @type {(step: number) => void} */
  const walk = (step) => {
    if (state.order.length) readout.textContent = told(choose(state, step));
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => move(state, -0.2),
    ArrowRight: () => move(state, 0.2),
    "+": () => zoom(state, 0.5),
    "=": () => zoom(state, 0.5),
    "-": () => zoom(state, 2),
    0: () => showAll(state),
    n: () => walk(1),
    p: () => walk(-1),
    Enter: () => {
      if (state.chosen !== null) goToTest(state.chosen);
    },
  };
  holder.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
    redraw();
  });
  listenToPointer(holder, state, readout, redraw);
}

/** @type {(holder: HTMLElement, state: TimelineState, readout: HTMLElement, redraw: Redraw) => void} */
function listenToPointer(holder, state, readout, redraw) {
  /** @type {(event: Event) => Bar[] | undefined} */
  const bars = (event) => state.under.get(event.target);
  /** @type {{ x: number; view: Interval; moved: boolean } | null} */
  let drag = null;
  const perPixel = () => (state.view.to - state.view.from) / holder.clientWidth;
  holder.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { x: event.clientX, view: { ...state.view }, moved: false };
  });
  holder.addEventListener("pointermove", (event) => {
    if (drag && event.buttons & 1) {
      const by = (drag.x - event.clientX) * perPixel();
      drag.moved ||= Math.abs(drag.x - event.clientX) > 4;
      if (drag.moved) {
        look(state, drag.view.from + by, drag.view.to + by);
        redraw();
      }
      return;
    }
    const found = bars(event);
    if (found) readout.textContent = toldMany(found);
  });
  holder.addEventListener("click", (event) => {
    const found = bars(event);
    if (drag?.moved || !found) return;
    if (found.length === 1) goToTest(found[0].place);
    else zoomTo(state, found, redraw);
  });
  /** @type {(event: WheelEvent) => void} */
  const wheel = (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // otherwise the page is scrolled
    event.preventDefault();
    const { left, width } = holder.getBoundingClientRect();
    zoom(
      state,
      event.deltaY > 0 ? 1.25 : 0.8,
      scale(left, left + width, state.view.from, state.view.to)(event.clientX),
    );
    redraw();
  };
  holder.addEventListener("wheel", wheel, { passive: false });
}

/** @type {(state: TimelineState, bars: Bar[], redraw: Redraw) => void} */
function zoomTo(state, bars, redraw) {
  const from = Math.min(...bars.map((bar) => bar.from));
  const to = Math.max(...bars.map((bar) => bar.to));
  const room = Math.max((to - from) * 2, 0.01);
  look(state, from - room, to + room);
  redraw();
}
