// A metric over two parameters: results in cells, means over the others.

const ALL = "";

// What the results of a metric can be laid out by: the test's function, its parameters, its devices.
// A parameter may be called "test" or "device" too: keys tell them apart.
const TEST = "test";

/** @type {(metric: Metric) => PivotAxis[]} */
function axes(metric) {
  const tests = data.tests;
  const functions = metric.test.map((place) => tests.function[place]);
  const found = [newAxis(TEST, "test", functions, shortened(data.functions), false)];
  data.params.forEach((param, number) => {
    const values = metric.test.map((place) => valueOfParam(tests.params[place], number));
    if (values.some((value) => value !== null)) {
      found.push(newAxis(`parameter ${number}`, param.name, values, param.values, param.numeric));
    }
  });
  const names = metric.test.map((place) => devicesText(place) ?? "none");
  const devices = [...new Set(names)].sort(natural);
  found.push(
    newAxis(
      "device",
      "device",
      names.map((name) => devices.indexOf(name)),
      devices,
      false,
    ),
  );
  return found;
}

// `of`: of each result, the place among `texts`, null where it has none; `used`: the places that occur, in order.
/** @type {(key: string, name: string, of: Figure[], texts: string[], numeric: boolean) => PivotAxis} */
function newAxis(key, name, of, texts, numeric) {
  const used = [...new Set(of)].filter((value) => value !== null);
  used.sort(numeric ? (one, other) => Number(texts[one]) - Number(texts[other]) : (one, other) => one - other);
  return { key, name, of, texts, used };
}

/** @type {(pairs: number[], param: number) => Figure} */
function valueOfParam(pairs, param) {
  for (let place = 0; place < pairs.length; place += 2) if (pairs[place] === param) return pairs[place + 1];
  return null;
}

// Without the file, where the names alone differ.
/** @type {(functions: string[]) => string[]} */
function shortened(functions) {
  const short = functions.map((name) => name.split("::").at(-1) ?? name);
  return new Set(short).size === functions.length ? short : functions;
}

// Which results stay: those that have every value asked for.
/** @type {(metric: Metric, all: PivotAxis[], fixed: Map<string, string>) => number[]} */
function selected(metric, all, fixed) {
  const places = metric.test.map((_, place) => place);
  return places.filter((place) => all.every((each) => matches(each, place, fixed)));
}

/** @type {(axis: PivotAxis, place: number, fixed: Map<string, string>) => boolean} */
function matches(axis, place, fixed) {
  const wanted = fixed.get(axis.key) ?? ALL;
  return wanted === ALL || String(axis.of[place]) === wanted;
}

// The axes with the values that are left where one of them is fixed.
/** @type {(all: PivotAxis[], main: PivotAxis, fixed: Map<string, string>) => PivotAxis[]} */
function narrowed(all, main, fixed) {
  return all.map((each) => {
    const left = new Set(each.of.filter((_, place) => matches(main, place, fixed)));
    return each === main ? each : { ...each, used: each.used.filter((value) => left.has(value)) };
  });
}

// Cells by row and column: {mean, count, odd}; `odd` are results without a number.
/** @type {(places: number[], rows: MaybeAxis, columns: MaybeAxis, valueAt: (place: number) => Figure) => Cells} */
function pivot(places, rows, columns, valueAt) {
  /** @type {Cells} */
  const cells = new Map();
  for (const place of places) {
    const row = rows ? rows.of[place] : 0;
    const column = columns ? columns.of[place] : 0;
    if (row === null || column === null) continue;
    const key = `${row} ${column}`;
    const cell = cells.get(key) ?? { sum: 0, count: 0, odd: 0, places: [], mean: null };
    cells.set(key, cell);
    const value = valueAt(place);
    cell.places.push(place);
    if (value === null) {
      cell.odd += 1;
    } else {
      cell.sum += value;
      cell.count += 1;
    }
  }
  for (const cell of cells.values()) cell.mean = cell.count ? cell.sum / cell.count : null;
  return cells;
}

// The axes to begin with: the two parameters with most values that are not too many to be seen at once.
/** @type {(all: PivotAxis[]) => { rows: string; columns: string }} */
function firstAxes(all) {
  const params = all.slice(1, -1).filter((each) => each.used.length > 1);
  const few = params.filter((each) => each.used.length <= 12);
  const [rows, columns] = few.sort((one, other) => other.used.length - one.used.length);
  return { rows: (rows ?? params[0] ?? all[0]).key, columns: columns?.key ?? ALL };
}
