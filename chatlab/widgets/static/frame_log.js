// The frame inspector: a filtered list of frames, which can be expanded.
import { copyBy } from "./copy.js";
import { Download } from "./download.js";
import { Feed } from "./feed.js";
import { clearButton, SearchField } from "./list_tools.js";
import { TailList } from "./tail_list.js";
import { setElapsed, setTime, visible, visibleLine } from "./text.js";
import { Upload } from "./upload.js";
import { element, mount, Scope, setText } from "./view.js";

const PREVIEW = 200; // characters of a payload shown in its row
const PRETTY = 300_000; // maximum characters of a payload that is indented
const MAX_DEPTH = 20; // maximum levels of indentation
const DIRECTIONS = { up: ["\u2191", "up"], down: ["\u2193", "down"], local: ["\u2022", "local"] };
const HEARTBEATS = new Set(["ping", "pong", "comment"]);
const NOTHING = "No frames yet. Connect, and each frame sent or received is listed here.";

/** Returns JSON with line breaks; numbers, escapes and repeated keys stay as sent. Null if it isn't JSON. */
export function prettyJson(text) {
  if (text.length > PRETTY || !/^\s*[[{]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let depth = 0;
  let opened = false; // by the token before
  const line = () => "\n" + "  ".repeat(Math.min(depth, MAX_DEPTH));
  const tokens = text.match(/"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^\s[\]{},:"]+/g);
  const parts = tokens.map((token) => {
    const closes = token === "]" || token === "}";
    if (closes) depth -= 1;
    const before = opened === closes ? "" : closes || opened ? line() : "";
    opened = token === "[" || token === "{";
    if (opened) depth += 1;
    if (token === ",") return token + line();
    return before + (token === ":" ? ": " : token);
  });
  return parts.join("");
}

export function sizeText(bytes) {
  if (!Number.isFinite(bytes)) return "";
  if (bytes < 10_000) return `${bytes.toLocaleString("en")} B`;
  return bytes < 1_000_000 ? `${(bytes / 1_000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** Returns whether a frame matches a filter, as `FrameFilter` in logs.py does: the text is searched in kind and payload. */
export function passes(row, { direction, kind, text, heartbeats }) {
  if (!heartbeats && HEARTBEATS.has(row.kind)) return false;
  if (direction && row.direction !== direction) return false;
  if (kind && row.kind !== kind) return false;
  return !text || `${row.kind ?? ""}\n${row.text ?? ""}`.toLowerCase().includes(text.toLowerCase());
}

function createFrame(doc, first, elapsed) {
  const time = element(doc, "time");
  const arrow = element(doc, "span", { "aria-hidden": "true" });
  const direction = element(doc, "span", { class: "cl-sr" });
  const kind = element(doc, "td", { class: "cl-kind" });
  const size = element(doc, "td", { class: "cl-size" });
  const preview = element(doc, "bdi");
  const expand = element(doc, "button", { type: "button", class: "cl-expand", tabindex: -1, "data-action": "expand", "aria-expanded": "false" }, preview);
  const main = element(
    doc, "tr", {},
    element(doc, "td", { class: "cl-at" }, time), element(doc, "td", { class: "cl-direction" }, arrow, direction),
    kind, size, element(doc, "td", { class: "cl-payload" }, expand),
  );
  const node = element(doc, "tbody", { class: "cl-row" }, main);
  let detail = null;
  let raw = false;
  let current;

  function drawDetail() {
    const pretty = prettyJson(current.text ?? "");
    const button = (action, text, hidden = false) =>
      element(doc, "button", { type: "button", class: "cl-button", "data-action": action, hidden }, text);
    const bar = element(
      doc, "div", { class: "cl-detail-bar" },
      element(doc, "span", {}, `${sizeText(current.size)} \u00b7 ${time.title}`),
      button("raw", raw ? "Pretty" : "Raw", pretty === null), button("copy", "Copy"),
    );
    const text = element(doc, "pre", { tabindex: 0, dir: "auto" }, visible(raw ? current.text : (pretty ?? current.text)));
    detail.replaceChildren(element(doc, "td", { colspan: 5 }, bar, text));
  }

  function update(row) {
    const changed = current?.text !== row.text;
    current = row;
    const [sign, word] = DIRECTIONS[row.direction] ?? DIRECTIONS.local;
    node.dataset.id = row.id;
    node.dataset.direction = row.direction;
    if (elapsed) setElapsed(time, row.at);
    else setTime(time, row.at, true);
    setText(arrow, sign);
    setText(direction, word);
    setText(kind, visibleLine(row.kind));
    kind.title = visibleLine(row.kind);
    setText(size, sizeText(row.size));
    if (!changed) return;
    const start = (row.text ?? "").slice(0, PREVIEW);
    setText(preview, visibleLine(start) + (start.length < (row.text ?? "").length ? "\u2026" : "") || "(empty)");
    expand.classList.toggle("cl-nothing", !row.text);
    if (detail) drawDetail();
  }

  function toggle() {
    if (detail) detail.remove();
    detail = detail ? null : element(doc, "tr", { class: "cl-detail" });
    if (detail) {
      drawDetail();
      node.append(detail);
    }
    expand.setAttribute("aria-expanded", String(Boolean(detail)));
  }

  function toggleRaw() {
    raw = !raw;
    drawDetail();
    detail.querySelector("[data-action=raw]").focus();
  }

  update(first);
  return { node, expand, update, toggle, toggleRaw };
}

function toolbar({ scope, doc, changed, heartbeating }) {
  const options = (select, pairs) => select.append(...pairs.map(([value, text]) => element(doc, "option", { value }, text)));
  const direction = element(doc, "select", { "aria-label": "Direction" });
  options(direction, [["", "All directions"], ["up", "\u2191 up"], ["down", "\u2193 down"], ["local", "\u2022 local"]]);
  const kind = element(doc, "select", { "aria-label": "Kind" });
  options(kind, [["", "All kinds"]]);
  const search = new SearchField({ scope, doc, label: "Filter content", changed });
  const heartbeats = element(doc, "input", { type: "checkbox", checked: heartbeating });
  const count = element(doc, "span", { class: "cl-count" });
  const node = element(
    doc, "div", { class: "cl-toolbar" }, direction, kind, search.node, element(doc, "label", {}, heartbeats, "Heartbeats"), count,
  );
  for (const control of [direction, kind, heartbeats]) scope.listen(control, "change", changed);
  return {
    node,
    get filter() {
      return { direction: direction.value, kind: kind.value, text: search.text, heartbeats: heartbeats.checked };
    },
    reset() {
      for (const control of [direction, kind]) control.value = "";
      search.reset();
      heartbeats.checked = true;
      changed();
    },
    know(names) {
      const chosen = kind.value;
      kind.replaceChildren();
      options(kind, [["", "All kinds"], ...names.map((name) => [name, visibleLine(name)])]);
      kind.value = chosen;
    },
    count(fitting, total) {
      const [some, all] = [fitting, total].map((number) => number.toLocaleString("en"));
      setText(count, `${fitting === total ? "" : `${some} of `}${all} ${total === 1 ? "frame" : "frames"}`);
    },
  };
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-frames", scope);
  const bar = toolbar({ scope, doc, changed: () => feed.refilter(), heartbeating: model.get("elapsed") });
  const columns = ["at", "direction", "kind", "size", "payload"].map((name) => element(doc, "col", { class: `cl-col-${name}` }));
  const head = ["Time", "", "Kind", "Size", "Content"].map((text, index) =>
    index === 1 ? element(doc, "th", { scope: "col" }, element(doc, "span", { class: "cl-sr" }, "Direction")) : element(doc, "th", { scope: "col" }, text),
  );
  const table = element(
    doc, "table", { "aria-label": "Frames" }, element(doc, "colgroup", {}, ...columns), element(doc, "thead", {}, element(doc, "tr", {}, ...head)),
  );
  const scroller = element(doc, "div", { class: "cl-scroll", role: "region", tabindex: 0, "aria-label": "Frames", "aria-description": "Tab goes to the latest frame, the arrow keys to the others" });
  const marker = element(
    doc, "tbody", { class: "cl-unread-row" },
    element(doc, "tr", {}, element(doc, "td", { colspan: 5 }, element(doc, "div", { class: "cl-unread" }, element(doc, "span", {}, "New")))),
  );
  const list = new TailList({
    scope,
    doc,
    scroller,
    marker,
    noun: "frame",
    create: (row) => createFrame(doc, row, model.get("elapsed")),
  });
  list.body = table;
  list.onChange = () => {
    offerLast();
    showFitting();
  };
  let tabStop; // the frame that Tab focuses
  const why = element(doc, "p");
  const all = element(doc, "button", { type: "button", class: "cl-link" }, "Clear the filter");
  scope.listen(all, "click", () => bar.reset());
  scroller.append(list.earlier, table, element(doc, "div", { class: "cl-empty" }, why, all));
  const download = new Download({ scope, doc, model, name: "chatlab-frames", what: "frames" });
  const upload = new Upload({ scope, doc, model, what: "frames", target: scroller });
  bar.node.append(element(doc, "span", { class: "cl-save" }, download.node, upload.node, clearButton({ scope, doc, model, what: "frames" })));
  el.append(bar.node, element(doc, "div", { class: "cl-frame" }, scroller, list.jump));

  /** Makes Tab stop only at the last of hundreds of frames; the arrow keys reach the others. */
  function offerLast() {
    if (list.last === tabStop) return;
    if (tabStop) tabStop.expand.tabIndex = -1;
    tabStop = list.last;
    if (tabStop) tabStop.expand.tabIndex = 0;
  }

  function step(from, way) {
    let row = from.closest(".cl-row");
    do row = row[way];
    while (row && !row.matches(".cl-row"));
    row?.querySelector(".cl-expand").focus();
  }

  function showFitting() {
    const { fitting, total } = feed;
    bar.count(fitting, total);
    setText(why, total ? `None of ${total.toLocaleString("en")} frames passes the filter.` : NOTHING);
    all.hidden = !total;
  }

  scope.listen(scroller, "click", (event) => {
    const button = event.target.closest?.("[data-action]");
    const entry = list.get(event.target.closest?.(".cl-row")?.dataset.id);
    if (!button || !entry) return;
    if (button.dataset.action === "expand") entry.toggle();
    if (button.dataset.action === "raw") entry.toggleRaw();
    list.resized();
    if (button.dataset.action === "copy") copyBy(scope, button, entry.row.text ?? "");
  });
  scope.listen(scroller, "keydown", (event) => {
    const way = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
    if (!way || !event.target.matches(".cl-expand")) return;
    event.preventDefault();
    step(event.target, way);
  });
  const notes = {
    file: (message) => download.take(message),
    loaded: (message) => upload.take(message),
    kinds: ({ names }) => bar.know(names),
  };
  const filter = () => bar.filter;
  const feed = new Feed({ scope, model, list, notes, filter, passes: (row) => passes(row, bar.filter) });
  showFitting();
  return () => scope.end();
}

export default { render };
