// What the script of the HTML report is given, and the shapes that its parts hand to each other. Only for checking.

/** What `reports/html/data/page.py` embeds. Things are named by their place in a list; null where there is no number. */
interface PageData {
  outcomes: string[];
  verdicts: string[];
  classes: [from: number, name: string][];
  tests: TestColumns;
  functions: string[];
  params: { name: string; fact: boolean; values: string[]; numeric: boolean }[];
  clusters: { text: string; tests: number[] }[];
  metrics: Metric[];
  history: Record<string, PastOfTest>[];
  kinds: string[];
  runs: Run[];
  workers: RunWorker[];
  devices: Device[];
  items: Record<string, ItemsOfTest>;
}

/** What `reports/html/comparing/page.py` embeds: of each row a number or a text; `tests` and `params` as above. */
interface ComparedData {
  rows: Record<"word" | "kind" | "test" | "name", number[]> &
    Record<"old" | "oldSaid" | "new" | "newSaid" | "change" | "why", string[]> &
    Record<"oldOrder" | "newOrder" | "changeOrder", Figure[]>;
  words: [word: string, mark: string, bad: boolean][];
  kinds: string[];
  ids: string[];
  names: [name: string, metric: boolean][];
}

/** Where the items of a test are, and how many of them; the chunks are in the block of items. */
type ItemsOfTest = [first: number, chunks: number, count: number, broke: number, fixed: number, wrong: number];

type Item = [
  id: string,
  flip: "broke" | "fixed" | null,
  right: boolean | null,
  scores: Record<string, number | string>,
  input: string | null,
  target: string | null,
  output: string | null,
  before: [output: string | null, scores: Record<string, number | string>, untold: string | null] | null,
  cut: string[],
];

interface ItemState {
  words: string;
  kind: string;
  score: string;
  most: number;
  low: Figure;
  high: Figure;
  open: string[];
}

interface Visit {
  isReturn: boolean;
  begin: () => void;
  drawn: () => void;
}

/** How a page was left that is loaded again. */
interface Left {
  rows: string[];
  items: [anchor: string, state: ItemState][];
  controls: [name: string, value: string | boolean][];
  sorted: [head: string, order: string] | null;
  tables: number[];
  focus: [name: string, caret: number | null] | null;
  mark: [id: string, top: number] | null;
  y: number;
}

interface TestColumns {
  id: string[];
  anchor: string[];
  outcome: number[];
  start: Figure[];
  took: Figure[];
  worker: string[];
  devices: number[][];
  memory: Figure[];
  function: number[];
  params: number[][];
  kind: number[];
  row: ShownRow[];
}

type ShownMetric = [name: string, value: string, change: string, verdict: string | null, kind: string];
type JudgedMetric = [name: string, value: string, said: string, verdict: string | null, kind: string];

/** What a row shows that is in no other column. */
type ShownRow = [
  took: string,
  memory: string,
  headline: string,
  attempt: number,
  earlier: string | null,
  more: number,
  metrics: ShownMetric[],
];

/** What can be unfolded of a test, from a chunk. */
interface Unfolded {
  source?: string;
  message?: string;
  output?: [name: string, text: string][];
  judged?: JudgedMetric[];
  facts?: [name: string, said: string][];
  kept?: KeptGroup[];
}

/** A file that a test has kept; its kind is a picture's type, or "text", of what is in a line of the block of attachments. */
type KeptFile = [name: string, said: string, href: string | null, kind: string, line: number];
type KeptGroup = [label: string, files: KeptFile[], left: number];

type Bounds = [low: number, high: number] | null;

interface Metric {
  name: string;
  unit: string;
  better: boolean | null;
  test: number[];
  value: Figure[];
  baseline: Figure[];
  change: Figure[];
  allowed: Figure[];
  n: Figure[];
  interval: Bounds[];
  verdict: number[];
}

/** An item per run before this one; all are null where it was not measured. A verdict is -1 where there is none. */
type PastOfTest = [values: Figure[], verdicts: Figure[], kinds: Figure[]];

interface Run {
  id: string;
  started: string;
  commit: string;
  workers: Figure;
  makespan_s: Figure;
  speedup: Figure;
  efficiency: Figure;
}

/** A run with what a chart over numbers of workers needs. */
interface ScaledRun extends Run {
  workers: number;
  speedup: number;
}

interface RunWorker {
  id: string;
  devices: number[];
  wait: number;
  start: Figure;
  end: Figure;
  exit: string | null;
}

interface Device {
  label: string;
  name: string;
  quarantined: string;
}

type Figure = number | null;
type Attributes = Record<string, string | number | boolean | null | undefined>;
type Child = Node | string | null;
type Choice = [value: string, text: string];
type Redraw = () => void;
type Scale = (value: number) => number;
type Compare = (one: number, other: number) => number;

/** What draws a section; it returns whether there was anything to draw. */
type DrawSection = (section: HTMLElement) => boolean;

// Charts

interface Ticks {
  at: number[];
  step?: number;
}

interface ChartAxis {
  from: number;
  to: number;
  ticks: Ticks;
  text: (value: number) => string;
  name: string;
}

interface Frame {
  svg: SVGSVGElement;
  across: Scale;
  up: Scale;
  left: number;
  right: number;
  bottom: number;
}

// The timeline

interface Interval {
  from: number;
  to: number;
}

interface Bar extends Interval {
  place: number;
  outcome: number;
}

interface WorkerEnd {
  at: number;
  worker: string;
  exit: string;
}

interface Lane extends Device {
  device: boolean;
  bars: Bar[];
  waits: (Interval & { worker: string })[];
  ends: WorkerEnd[];
  rows: Bar[][];
}

/** Bars that are too thin to be told apart. */
interface BarColumn {
  x: number;
  width: number;
  busy: number;
  bars: Bar[];
}

interface TimelineState {
  view: Interval;
  whole: Interval;
  chosen: number | null;
  order: Bar[];
  under: Map<EventTarget | null, Bar[]>;
}

type LaneSymbol = [x: number, y: number, name: string, note: string];

interface LanePlace {
  inside: SVGElement;
  across: Scale;
  top: number;
  row: number;
  left: number;
  right: number;
  state: TimelineState;
}

interface BarPlace {
  inside: SVGElement;
  y: number;
  height: number;
  state: TimelineState;
  symbols: LaneSymbol[];
}

// The heat map

interface PivotAxis {
  key: string;
  name: string;
  of: Figure[];
  texts: string[];
  used: number[];
}

interface Cell {
  sum: number;
  count: number;
  odd: number;
  places: number[];
  mean: Figure;
}

type MaybeAxis = PivotAxis | null;
type Cells = Map<string, Cell>;
type HeatMode = "value" | "change" | "baseline";
type Colouring = (cell: HTMLElement, mean: number) => void;

interface HeatState {
  metric: number;
  mode: HeatMode;
  rows: string | null;
  columns: string | null;
  fixed: Map<string, string>;
}

/** What a heat map is made of. */
interface HeatParts {
  metric: Metric;
  mode: HeatMode;
  rows: PivotAxis;
  columns: PivotAxis | null;
  cells: Cells;
  lines: Lines;
}

interface Lines {
  rows: number[];
  columns: number[];
  all: { rows: number; columns: number };
}

// The history

interface HistoryState {
  metric: number;
  at: number;
  words: string;
}

interface Point {
  run: number;
  value: Figure;
  verdict: string;
  kind: string;
}

interface MeasuredPoint extends Point {
  value: number;
}

// The table of tests

interface SortState {
  metric: string;
  column: number | null;
  down: boolean;
  /** The parameters that have a column. */
  columns: number[];
}

interface TableActs {
  /** Filter and sort anew. */
  show: Redraw;
  /** The same, and the heads. */
  redraw: Redraw;
}

/** Some rows that are drawn together; `gap` stands for them where they are not. */
interface RowBlock {
  from: number;
  places: number[];
  rows: HTMLElement[];
  gap: HTMLElement;
}

interface RowWindow {
  show: (order: number[]) => void;
  reveal: (place: number) => HTMLElement | null;
}

interface TableState extends SortState {
  words: string;
  cluster: Figure;
  attempts: Set<string>;
  params: Map<number, number>;
  outcomes: Set<string>;
  verdicts: Set<string>;
}

// The overview

interface OverviewState {
  metric: string;
  words: string;
  most: number;
}

interface Card {
  metric: number;
  at: number;
  runs: number;
  rank: number;
}

// Chunks

interface Input {
  bytes: Uint8Array;
  at: number;
  bit: number;
}

interface Output {
  bytes: Uint8Array;
  size: number;
}

interface Codes {
  counts: number[];
  symbols: number[];
}
