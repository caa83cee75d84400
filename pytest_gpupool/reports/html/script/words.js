// Numbers as people read them.

const DASH = "–";
const BAD_VERDICTS = ["invalid", "gone", "regressed"]; // verdicts that need a look
const natural = new Intl.Collator("en", { numeric: true }).compare;

// Of times, each a thousandth of the one before.
const TIMES = ["s", "ms", "µs", "ns"];
const PREFIXES = ["", "k", "M", "G", "T"];

// Large ones have a prefix, short times a finer unit, as in the other reports.
/** @type {(value: Figure, unit?: string) => string} */
function figure(value, unit = "") {
  if (value === null) return DASH;
  const size = Math.abs(value);
  const finer = TIMES.slice(TIMES.indexOf(unit) + 1);
  if (TIMES.includes(unit) && size > 0 && size < 1e-3 && finer.length) {
    const step = finer.findIndex((_, place) => size * 1000 ** (place + 1) >= 1);
    const by = step < 0 ? finer.length : step + 1;
    return `${Number((value * 1000 ** by).toPrecision(3))} ${finer[by - 1]}`;
  }
  if (unit && unit !== "%" && !TIMES.includes(unit) && !Number.isInteger(value) && size >= 1e4 && size < 1e15) {
    const power = Math.min(4, Math.floor(Math.log10(size) / 3));
    return `${Number((value / 1000 ** power).toPrecision(3))}${PREFIXES[power]} ${unit}`;
  }
  return `${digits(value)}${unit ? ` ${unit}` : ""}`;
}

// Four digits that count; whole numbers whole.
/** @type {(value: number) => string} */
function digits(value) {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return String(value);
  return size >= 1e4 && size < 1e7 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

/** @type {(part: Figure, signed?: boolean) => string} */
function percent(part, signed = false) {
  if (part === null) return DASH;
  const text = (100 * part).toFixed(1);
  return `${signed && part >= 0 ? "+" : ""}${text}%`;
}

/** @type {(value: Figure) => string} */
function seconds(value) {
  if (value === null) return DASH;
  if (value < 120) return `${value.toFixed(2)} s`;
  const minutes = Math.floor(value / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A moment of the run, as exactly as steps of so many seconds need it.
/** @type {(moment: number, step: number) => string} */
function clock(moment, step) {
  const size = Math.abs(moment);
  if (size < 120 && step < 60) return `${Number(moment.toFixed(step < 1 ? Math.ceil(-Math.log10(step)) : 0))} s`;
  const sign = moment < 0 ? "-" : "";
  /** @type {(number: number) => string} */
  const two = (number) => String(number).padStart(2, "0");
  const whole = Math.floor(size);
  const tail = step < 1 ? (size - whole).toFixed(Math.ceil(-Math.log10(step))).slice(1) : "";
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return `${sign}${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}${tail}`;
}

/** @type {(number: number, what: string) => string} */
function counted(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** @type {(moment: string) => string} */
function day(moment) {
  return moment.slice(0, 16).replace("T", " ");
}
