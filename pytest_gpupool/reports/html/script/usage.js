// How well the devices were used: in this run over time, and over runs with other numbers of workers.

/** @type {DrawSection} */
function usage(section) {
  const all = lanes();
  const run = data.runs[thisRun()];
  if (run.speedup === null) return false;
  const devices = all.filter((lane) => lane.device);
  const used = devices.filter((lane) => lane.bars.length).length;
  const words = `Speedup ${run.speedup.toFixed(2)} on ${counted(used, "device")}: efficiency ${percent(run.efficiency)}.`;
  const grade = run.efficiency === null ? "" : ` That is ${gradeOf(run.efficiency)}.`;
  section.append(element("p", {}, words + grade));
  const pair = element("div", { class: "pair" }, busyFigure(all, devices.length, run.speedup));
  const runs = data.runs.filter(isScaled);
  if (new Set(runs.map((each) => each.workers)).size > 1) pair.append(...scalingFigures(runs));
  section.append(pair);
  return true;
}

// Whether a run can stand in a chart over numbers of workers.
/** @type {(run: Run) => run is ScaledRun} */
function isScaled(run) {
  return run.workers !== null && run.speedup !== null;
}

/** @type {(efficiency: number) => string} */
function gradeOf(efficiency) {
  return present(data.classes.find(([from]) => efficiency >= from))[1];
}

/** @type {(caption: string, draw: (width: number) => Element, table: Child) => HTMLElement} */
function chartFigure(caption, draw, table) {
  const holder = element("div", { class: "chart" });
  keepDrawn(holder, (width) => holder.replaceChildren(draw(width)), 350);
  return element("figure", {}, element("figcaption", {}, caption), holder, table);
}

/** @type {(all: Lane[], pool: number, speedup: number) => HTMLElement} */
function busyFigure(all, pool, speedup) {
  const points = busyOverTime(all);
  const end = runEnd();
  /** @type {(width: number) => SVGElement} */
  const draw = (width) => {
    const times = timeTicks(0, end, width / 100);
    /** @type {ChartAxis} */
    const x = {
      from: 0,
      to: end,
      ticks: times,
      text: (value) => clock(value, times.step),
      name: "since the run's start",
    };
    const most = Math.max(1, pool);
    const whole = ticks(0, most, 5);
    const at = whole.at.filter(Number.isInteger);
    const y = { from: 0, to: most * 1.08, ticks: { at }, text: String, name: "devices with a test" };
    const frame = plot(width, 240, "How many devices had a test, over time", x, y);
    const parts = meansOverTime(points, end, Math.floor((frame.right - frame.left) / 3));
    const each = (frame.right - frame.left) / parts.length;
    const steps = parts.map(
      (number, place) => `V${frame.up(number).toFixed(1)}H${(frame.left + (place + 1) * each).toFixed(1)}`,
    );
    frame.svg.append(
      shape("path", { class: "area", d: `M${frame.left} ${frame.bottom}${steps.join("")}V${frame.bottom}Z` }),
    );
    const mean = frame.up(Math.min(speedup, most));
    frame.svg.append(
      titled(
        shape("path", { class: "base", d: `M${frame.left} ${mean}H${frame.right}` }),
        `speedup ${speedup.toFixed(2)}`,
      ),
    );
    return frame.svg;
  };
  const rows = points.slice(0, 2000).map(([moment, number]) => [clock(moment, 0.01), String(number)]);
  return chartFigure(
    "Devices with a test; dotted: the speedup",
    draw,
    asTable("Devices with a test", ["From", "Devices"], rows),
  );
}

/** @type {(runs: ScaledRun[]) => HTMLElement[]} */
function scalingFigures(runs) {
  const heads = ["Run", "Workers", "Makespan", "Speedup", "Efficiency", "Class"];
  const rows = [...runs]
    .sort((one, other) => one.workers - other.workers)
    .map((run) => [
      run.id,
      String(run.workers),
      seconds(run.makespan_s),
      figure(run.speedup),
      percent(run.efficiency),
      run.efficiency === null ? DASH : gradeOf(run.efficiency),
    ]);
  const most = Math.max(...runs.map((run) => run.workers));
  /** @type {(width: number) => SVGElement} */
  const speedup = (width) => {
    /** @type {ChartAxis} */
    const y = { from: 0, to: most * 1.08, ticks: ticks(0, most, 5), text: (value) => figure(value), name: "speedup" };
    const frame = plot(width, 240, "Speedup over workers, in the runs on record", workersAxis(most), y);
    frame.svg.append(
      shape("path", {
        class: "ideal",
        d: `M${frame.across(0)} ${frame.up(0)}L${frame.across(most)} ${frame.up(most)}`,
      }),
    );
    return withRuns(frame, runs, (run) => run.speedup);
  };
  /** @type {(width: number) => SVGElement} */
  const efficiency = (width) => {
    /** @type {ChartAxis} */
    const y = {
      from: 0,
      to: 1.1,
      ticks: { at: [0, 0.2, 0.4, 0.6, 0.8, 1] },
      text: (value) => `${Math.round(value * 100)}%`,
      name: "efficiency",
    };
    const frame = plot(width, 240, "Efficiency over workers, in the runs on record", workersAxis(most), y);
    for (const [from, name] of data.classes) {
      if (from) {
        frame.svg.append(shape("path", { class: "ideal", d: `M${frame.left} ${frame.up(from)}H${frame.right}` }));
      }
      frame.svg.append(shape("text", { x: frame.left + 6, y: frame.up(from) - 5 }, name));
    }
    return withRuns(frame, runs, (run) => run.efficiency);
  };
  return [
    chartFigure("Speedup over workers; dashed: the ideal", speedup, asTable("Runs by workers", heads, rows)),
    chartFigure("Efficiency over workers", efficiency, null),
  ];
}

/** @type {(most: number) => ChartAxis} */
function workersAxis(most) {
  const at = ticks(0, most, 8).at.filter(Number.isInteger);
  return { from: 0, to: most * 1.05, ticks: { at }, text: String, name: "workers" };
}

/** @type {(frame: Frame, runs: ScaledRun[], valueOf: (run: ScaledRun) => Figure) => SVGElement} */
function withRuns(frame, runs, valueOf) {
  for (const run of runs) {
    const value = valueOf(run);
    if (value === null) continue;
    const now = run === data.runs[thisRun()] ? " now" : "";
    const mark = marker("", frame.across(run.workers), frame.up(value), { class: `point${now}` });
    const figures = `speedup ${figure(run.speedup)}, efficiency ${percent(run.efficiency)}`;
    const note = `${counted(run.workers, "worker")}: ${figures}, ${day(run.started)}, ${run.id}`;
    frame.svg.append(titled(mark, now ? `this run, ${note}` : note));
  }
  return frame.svg;
}
