// Statuses over time in lanes: the live connection, and the model's prediction.
import { offer } from "./download.js";
import { svgText } from "./svg_file.js";
import { visibleLine } from "./text.js";
import { element, mount, Scope, setText, snapshot } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const LANE = 34; // pixels between lanes
const BAR = 18; // height of a span
const TOP = 12; // pixels for the marks of the first lane
const AXIS = 20;
const LETTER = 6.2; // pixels per letter of a label
const BOLD = 8; // pixels per letter of a lane's name
const TICK = 200; // milliseconds between two redraws while time runs
const MIN_RANGE = 0.1; // minimum seconds across the whole width
const STATUSES = ["connected", "connecting", "reconnecting", "disconnected", "error"];
const HINT = "Statuses, attempts and faults appear here, with the model\u2019s prediction.";
let drawings = 0;

/** Returns the distance between ticks of an axis in seconds, a round number, for `most` ticks at most. */
export function tickStep(length, most) {
  const wanted = length / Math.max(1, most);
  for (const step of [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600]) {
    if (step >= wanted) return step;
  }
  return 3_600 * Math.ceil(wanted / 3_600);
}

export function tickText(seconds, step) {
  if (step < 1) return `${seconds.toFixed(step < 0.1 ? 2 : 1)} s`;
  if (step < 30) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function spanText({ status, start, end }, now) {
  const until = end ?? now;
  return `${status} ${start.toFixed(1)}\u2013${until.toFixed(1)} s (${(until - start).toFixed(1)} s${end == null ? ", so far" : ""})`;
}

/** The visible part of the time axis, in seconds; all of it if `start` is null. */
export class Range {
  start = null;
  length = null;

  resolve(total) {
    if (this.start === null) return [0, total];
    return [this.start, this.start + this.length];
  }

  fit() {
    this.start = this.length = null;
  }

  /** Zooms around a point at `share` of the width. */
  zoom(factor, total, share = 0.5) {
    const [from, to] = this.resolve(total);
    const length = Math.max(MIN_RANGE, (to - from) * factor);
    if (length >= total) return this.fit();
    this.#set(from + share * (to - from - length), length, total);
  }

  pan(seconds, total) {
    if (this.start !== null) this.#set(this.start + seconds, this.length, total);
  }

  #set(start, length, total) {
    this.length = length;
    this.start = Math.min(Math.max(0, start), total - length);
  }
}

function shape(doc, tag, attributes) {
  const node = doc.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Draws items with reused nodes, so that open tooltips stay. */
function pool(parent, make) {
  const nodes = [];
  return (items, update) => {
    while (nodes.length > items.length) nodes.pop().remove();
    items.forEach((item, index) => {
      if (!nodes[index]) {
        nodes[index] = make(item);
        parent.append(nodes[index]);
      }
      update(nodes[index], item);
    });
  };
}

/** Makes fill patterns that distinguish statuses without colour; connected is solid, disconnected hollow. */
function patterns(doc, prefix) {
  const pattern = (name, ...children) => {
    const node = shape(doc, "pattern", { id: `${prefix}-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    node.append(...children);
    return node;
  };
  const stroke = (d) => shape(doc, "path", { d, class: "cl-hatch" });
  const defs = shape(doc, "defs", {});
  defs.append(
    pattern("connecting", shape(doc, "circle", { cx: 3, cy: 3, r: 1, class: "cl-dots" })),
    pattern("reconnecting", stroke("M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2")),
    pattern("error", stroke("M0,0 l6,6 M0,6 l6,-6")),
  );
  return defs;
}

function textOf(doc, attributes) {
  return shape(doc, "text", attributes);
}

/** Makes the node of a span: a rectangle in the status's colour, its pattern, label and tooltip. */
function spanNode(doc) {
  const node = shape(doc, "g", {});
  node.append(
    shape(doc, "title", {}), shape(doc, "rect", { class: "cl-fill", rx: 2, height: BAR }),
    shape(doc, "rect", { class: "cl-pattern", rx: 2, height: BAR }), textOf(doc, { class: "cl-span-text" }),
  );
  return node;
}

function placeSpan(node, { x, y, width, status, label, title, prefix }) {
  const [tip, fill, pattern, text] = node.children;
  node.setAttribute("class", `cl-span cl-${STATUSES.includes(status) ? status : "error"}`);
  for (const rect of [fill, pattern]) {
    rect.setAttribute("x", x);
    rect.setAttribute("y", y);
    rect.setAttribute("width", Math.max(1, width));
  }
  const patterned = ["connecting", "reconnecting", "error"].includes(status);
  pattern.setAttribute("fill", patterned ? `url(#${prefix}-${status})` : "none");
  text.setAttribute("x", x + 5);
  text.setAttribute("y", y + BAR / 2 + 4);
  setText(text, width > label.length * LETTER + 10 ? label : "");
  setText(tip, title);
}

function legend(doc, prefix) {
  const node = element(doc, "div", { class: "cl-legend", "aria-hidden": "true" });
  for (const status of STATUSES) {
    const svg = shape(doc, "svg", { width: 22, height: BAR - 6 });
    const sample = spanNode(doc);
    placeSpan(sample, { x: 0.5, y: 0.5, width: 21, status, label: "", title: "", prefix });
    for (const rect of sample.querySelectorAll("rect")) rect.setAttribute("height", BAR - 7);
    svg.append(sample);
    node.append(element(doc, "span", {}, svg, status));
  }
  return node;
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-timeline", scope);
  const prefix = `chatlab-${Math.random().toString(36).slice(2)}-${++drawings}`;
  const svg = shape(doc, "svg", { role: "img", tabindex: 0, class: "cl-drawing" });
  const clip = shape(doc, "clipPath", { id: `${prefix}-clip` });
  const window_ = shape(doc, "rect", { y: 0 });
  clip.append(window_);
  const grid = shape(doc, "g", { class: "cl-grid" });
  const inside = shape(doc, "g", { "clip-path": `url(#${prefix}-clip)` });
  const names = shape(doc, "g", { class: "cl-names" });
  const present = shape(doc, "line", { class: "cl-now" });
  const defs = patterns(doc, prefix);
  defs.append(clip);
  const spansGroup = shape(doc, "g", {});
  const marksGroup = shape(doc, "g", {});
  inside.append(spansGroup, present, marksGroup);
  const hint = textOf(doc, { class: "cl-hint", "text-anchor": "middle" });
  svg.append(defs, grid, inside, names, hint);

  const button = (text, name) => element(doc, "button", { type: "button", class: "cl-button", "aria-label": name, title: name }, text);
  const [closer, wider, fit] = [button("+", "Zoom in"), button("\u2212", "Zoom out"), button("Fit", "Show everything")];
  const save = button("Save", "Save the timeline as an image (SVG)");
  const key = legend(doc, prefix);
  const bar = element(doc, "div", { class: "cl-timeline-bar" }, key, element(doc, "div", { class: "cl-zoom" }, wider, closer, fit, save));
  const note = element(doc, "div", { class: "cl-note" });
  el.append(svg, bar, note);

  const drawTicks = pool(grid, () => {
    const tick = shape(doc, "g", {});
    tick.append(shape(doc, "line", {}), textOf(doc, { "text-anchor": "middle" }));
    return tick;
  });
  const drawSpans = pool(spansGroup, () => spanNode(doc));
  const drawMarks = pool(marksGroup, () => {
    const mark = shape(doc, "g", {});
    mark.append(shape(doc, "title", {}), shape(doc, "path", { d: "M-4,-7 h8 l-4,7 z" }), shape(doc, "line", { y1: 0, y2: BAR }));
    return mark;
  });
  const drawNames = pool(names, () => textOf(doc, {}));

  const range = new Range();
  let lanes = [];
  let now = 0; // at `shownAt`
  let shownAt = Date.now();
  let rate = 0; // seconds of the timeline in a second
  let least = 1; // minimum seconds of the axis
  let stop = null;
  let edges = [0, 1]; // left and right edge in pixels

  const currently = () => now + (rate * (Date.now() - shownAt)) / 1_000;

  function total() {
    let end = currently();
    for (const lane of lanes) {
      for (const span of lane.spans) end = Math.max(end, span.end ?? 0, span.start);
      for (const mark of lane.marks) end = Math.max(end, mark.at);
    }
    return Math.max(end, least);
  }

  function draw() {
    const time = currently();
    const width = svg.clientWidth || el.clientWidth || 640;
    const longest = Math.max(0, ...lanes.map((lane) => lane.name.length));
    const left = Math.max(16, lanes.length ? Math.min(110, width / 4, longest * BOLD + 12) : 0);
    const right = width - 10;
    edges = [left, right];
    const bottom = TOP + Math.max(1, lanes.length) * LANE - 6;
    const [from, to] = range.resolve(total());
    const x = (seconds) => left + ((seconds - from) / (to - from)) * (right - left);
    const clamped = (seconds) => Math.min(Math.max(x(seconds), left - 4), right + 4); // huge coordinates break SVG rendering
    svg.setAttribute("height", bottom + AXIS);
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom + AXIS}`);
    for (const [name, value] of Object.entries({ x: left, width: Math.max(0, right - left), height: bottom })) window_.setAttribute(name, value);

    const step = tickStep(to - from, (right - left) / 70);
    const ticks = [];
    for (let at = Math.ceil(from / step) * step; at <= to + 1e-9 && ticks.length < 100; at += step) ticks.push(at);
    drawTicks(ticks, (node, at) => {
      const [line, text] = node.children;
      for (const [name, value] of Object.entries({ x1: x(at), x2: x(at), y1: 4, y2: bottom })) line.setAttribute(name, value);
      text.setAttribute("x", Math.min(x(at), width - 14));
      text.setAttribute("y", bottom + 14);
      setText(text, tickText(at, step));
    });

    const inLanes = (name) => lanes.flatMap((lane, index) => lane[name].map((item) => ({ ...item, lane, y: TOP + index * LANE })));
    drawSpans(inLanes("spans").filter((span) => span.start <= to && (span.end ?? time) >= from), (node, span) => {
      const start = clamped(span.start);
      const status = visibleLine(span.status);
      const title = `${visibleLine(span.lane.name)}: ${spanText({ ...span, status }, time)}`;
      placeSpan(node, { x: start, y: span.y, width: clamped(span.end ?? time) - start, status, label: status, title, prefix });
    });
    drawMarks(inLanes("marks").filter((mark) => mark.at >= from && mark.at <= to), (node, mark) => {
      node.setAttribute("class", "cl-point");
      node.dataset.kind = mark.kind;
      node.setAttribute("transform", `translate(${x(mark.at)},${mark.y})`);
      setText(node.children[0], `${visibleLine(mark.label || mark.kind)} at ${mark.at.toFixed(1)} s`);
    });
    drawNames(lanes.map((lane, index) => ({ lane, y: TOP + index * LANE + BAR / 2 + 4 })), (node, { lane, y }) => {
      const fits = Math.floor((left - 8) / BOLD);
      const name = visibleLine(lane.name);
      node.setAttribute("x", 2);
      node.setAttribute("y", y);
      setText(node, name.length > fits ? `${name.slice(0, Math.max(1, fits - 1))}\u2026` : name);
    });
    for (const [name, value] of Object.entries({ x1: x(time), x2: x(time), y1: 4, y2: bottom })) present.setAttribute(name, value);
    hint.setAttribute("x", (left + right) / 2);
    hint.setAttribute("y", TOP + BAR / 2 + 4);
    setText(hint, lanes.some(({ spans }) => spans.length) ? "" : HINT);
    closer.disabled = to - from <= MIN_RANGE;
    wider.disabled = fit.disabled = range.start === null;
  }

  function describe() {
    const time = currently();
    const parts = lanes.map((lane) => {
      const last = lane.spans.at(-1);
      return `${visibleLine(lane.name)}: ${last ? spanText({ ...last, status: visibleLine(last.status) }, time) : "nothing yet"}`;
    });
    svg.setAttribute("aria-label", `Timeline of statuses. ${parts.join(". ")}`);
  }

  function show(message) {
    lanes = (message.lanes ?? []).map(({ name = "", spans = [], marks = [] }) => ({ name: String(name), spans, marks }));
    now = message.now ?? 0;
    shownAt = Date.now();
    rate = message.running ? (message.rate ?? 1) : 0;
    least = message.until || 1;
    setText(note, visibleLine(message.note ?? ""));
    if (!rate) {
      stop?.();
      stop = null;
    } else if (!stop) {
      stop = scope.every(TICK, () => doc.hidden || draw());
    }
    draw();
    describe();
  }

  function change(action) {
    action();
    draw();
  }

  scope.listen(closer, "click", () => change(() => range.zoom(0.5, total())));
  scope.listen(wider, "click", () => change(() => range.zoom(2, total())));
  scope.listen(fit, "click", () => change(() => range.fit()));
  scope.listen(save, "click", () => {
    const ground = doc.defaultView.getComputedStyle(el).getPropertyValue("--cl-ground") || "white";
    const height = Number(svg.getAttribute("height")) || svg.clientHeight;
    offer(doc, "chatlab-timeline.svg", "image/svg+xml", svgText(svg, svg.clientWidth || 640, height, ground));
  });
  scope.listen(svg, "wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // leave the wheel to the page
    event.preventDefault();
    const share = (event.offsetX - edges[0]) / (edges[1] - edges[0]);
    change(() => range.zoom(2 ** (Math.sign(event.deltaY) / 2), total(), Math.min(1, Math.max(0, share))));
  }, { passive: false });
  scope.listen(svg, "keydown", (event) => {
    const action = { "+": () => range.zoom(0.5, total()), "-": () => range.zoom(2, total()), 0: () => range.fit() }[event.key];
    if (action) change(action);
    const [from, to] = range.resolve(total());
    const seconds = { ArrowLeft: from - to, ArrowRight: to - from }[event.key];
    if (seconds === undefined) return;
    event.preventDefault();
    change(() => range.pan(seconds / 10, total()));
  });
  let dragged = null; // the pointer's last x
  scope.listen(svg, "pointerdown", (event) => {
    if (range.start === null || event.button !== 0) return;
    dragged = event.clientX;
    svg.setPointerCapture?.(event.pointerId);
  });
  scope.listen(svg, "pointermove", (event) => {
    if (dragged === null) return;
    const [from, to] = range.resolve(total());
    const seconds = ((dragged - event.clientX) / (svg.clientWidth || 640)) * (to - from);
    dragged = event.clientX;
    change(() => range.pan(seconds, total()));
  });
  for (const type of ["pointerup", "pointercancel"]) scope.listen(svg, type, () => (dragged = null));
  scope.resized(el, draw);
  draw();
  snapshot({ scope, model, type: "timeline", show });
  return () => scope.end();
}

export default { render };
