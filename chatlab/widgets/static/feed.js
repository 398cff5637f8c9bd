// What the views share: numbered rows from Python, a list that follows its tail, text that can't deceive, clean endings.
// A plain ES module. A widget's source can't import its neighbours, so Python puts this one into each view (assets.py).

export const WINDOW = 500; // rows kept in the page while it follows the tail
export const REACH = 5_000; // rows kept at most while somebody reads further up
const ASK_AGAIN = 2_000; // milliseconds until an unanswered request is repeated; doubles up to
const ASK_AGAIN_MAX = 30_000;

/** Makes an element; children are nodes or text, never markup. */
export function element(doc, tag, attributes = {}, ...children) {
  const node = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Sets a text only if it changed, so that nothing is laid out or read aloud again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whatever a view starts; `end()` undoes all of it. */
export class Scope {
  #undo = new Set();

  defer(undo) {
    this.#undo.add(undo);
    return () => {
      if (this.#undo.delete(undo)) undo();
    };
  }

  listen(target, type, listener, options) {
    target.addEventListener(type, listener, options);
    return this.defer(() => target.removeEventListener(type, listener, options));
  }

  subscribe(model, event, listener) {
    model.on(event, listener);
    return this.defer(() => model.off(event, listener));
  }

  after(milliseconds, callback) {
    const cancel = this.defer(() => clearTimeout(timer));
    const timer = setTimeout(() => {
      cancel();
      callback();
    }, milliseconds);
    return cancel;
  }

  every(milliseconds, callback) {
    const timer = setInterval(callback, milliseconds);
    return this.defer(() => clearInterval(timer));
  }

  resized(node, callback) {
    const Observer = node.ownerDocument.defaultView?.ResizeObserver;
    if (!Observer) return () => {};
    const observer = new Observer(() => callback());
    observer.observe(node);
    return this.defer(() => observer.disconnect());
  }

  end() {
    for (const undo of this.#undo) undo();
    this.#undo.clear();
  }
}

/** Prepares the element of a view. JupyterLab's and the classic notebook's shortcuts must not eat keystrokes here. */
export function mount(el, name, scope) {
  el.classList.add("chatlab", name);
  el.dataset.lmSuppressShortcuts = "true";
  for (const type of ["keydown", "keypress", "keyup"]) scope.listen(el, type, (event) => event.stopPropagation());
  scope.defer(() => {
    el.classList.remove("chatlab", name);
    el.replaceChildren();
  });
}

/** Follows a widget that shows one latest state, and asks for it. */
export function snapshot({ scope, model, type, show }) {
  scope.subscribe(model, "msg:custom", (message) => {
    if (message?.type === type) show(message);
  });
  model.send({ type: "ready" });
}

// --- text --------------------------------------------------------------------------------------------------------

// C0 but tab and line feed, DEL and C1; zero-width space and joiners of words; embeddings, overrides and isolates.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]/g;
const C0 = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US";
const ABBREVIATIONS = {
  ...C0.split(" "),
  0x7f: "DEL", 0x200b: "ZWSP", 0x2060: "WJ", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};

function symbol(character) {
  const code = character.codePointAt(0);
  return `\u27e8${ABBREVIATIONS[code] ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** The text with what hides or reorders made visible, and towers of combining marks capped at eight. */
export function visible(text) {
  return String(text ?? "")
    .replace(/\r\n/g, "\n")
    .replace(HIDDEN, symbol)
    .replace(/\p{Surrogate}/gu, "\ufffd")
    .replace(/(\p{M}{8})\p{M}+/gu, "$1");
}

/** The same for what fits on one line: names, reasons, labels. */
export function visibleLine(text) {
  return visible(text).replace(/\t/g, " ").replace(/[\n\u2028\u2029]/g, "\u21b5");
}

/** Local time as HH:MM:SS, with milliseconds where asked. */
export function clock(at, milliseconds = false) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "--:--:--";
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => pad(part)).join(":");
  return milliseconds ? `${time}.${pad(date.getMilliseconds(), 3)}` : time;
}

/** A `<time>` to fill with `setTime`. */
export function setTime(node, at, milliseconds = false) {
  const date = new Date(at);
  const iso = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  node.setAttribute("datetime", iso);
  node.title = iso;
  setText(node, clock(at, milliseconds));
}

// --- numbered messages -------------------------------------------------------------------------------------------

/** Knows which numbered messages have come, whatever was lost between. */
export class Sequence {
  last = null; // everything up to here has come; null: nothing is known yet
  #goal = -1;
  #ahead = new Set();

  get complete() {
    return this.last !== null && this.last >= this.#goal;
  }

  /** A message came. */
  saw(number) {
    this.expect(number);
    if (this.last === null || number > this.last) this.#ahead.add(number);
    this.#advance();
  }

  /** Messages up to this number exist. */
  expect(number) {
    this.#goal = Math.max(this.#goal, number);
  }

  /** Everything up to this number was made up for. */
  reached(number) {
    this.expect(number);
    this.last = Math.max(this.last ?? number, number);
    for (const ahead of this.#ahead) if (ahead <= this.last) this.#ahead.delete(ahead);
    this.#advance();
  }

  #advance() {
    while (this.last !== null && this.#ahead.delete(this.last + 1)) this.last += 1;
  }
}

/**
 * A view's end of a FeedWidget: hands rows to `list`, asks for all when it is mounted and for what it missed,
 * repeats what stays unanswered. `notes` maps the types of unnumbered messages to functions.
 */
export class Feed {
  #model;
  #scope;
  #list;
  #sequence = new Sequence();
  #epoch = null;
  #view = Math.random().toString(36).slice(2);
  #requests = 0;
  #sync = null; // the request whose answer makes the sequence complete
  #page = null; // the request for earlier rows
  #patience = ASK_AGAIN;

  constructor({ scope, model, list, notes = {} }) {
    this.#scope = scope;
    this.#model = model;
    this.#list = list;
    list.onEarlier = (id) => this.#earlier(id);
    list.busy(true);
    scope.subscribe(model, "msg:custom", (message) => {
      if (message?.type === "rows") this.#rows(message);
      else if (message?.type === "mark") this.#mark(message);
      else notes[message?.type]?.(message);
    });
    this.#synchronise();
  }

  #ask(type, fields) {
    const request = { id: `${this.#view}-${++this.#requests}`, parts: new Set() };
    this.#model.send({ type, request: request.id, ...fields });
    return request;
  }

  #synchronise() {
    const after = this.#sequence.last;
    this.#sync = after === null ? this.#ask("ready") : this.#ask("missed", { after });
    this.#sync.cancel = this.#scope.after(this.#patience, () => {
      this.#patience = Math.min(2 * this.#patience, ASK_AGAIN_MAX);
      this.#synchronise();
    });
  }

  #earlier(id) {
    if (this.#page) return;
    this.#page = this.#ask("before", { id });
    this.#page.cancel = this.#scope.after(ASK_AGAIN, () => (this.#page = null));
  }

  #enter(epoch) {
    if (this.#epoch !== null && epoch !== this.#epoch) this.#list.clear();
    this.#epoch = epoch;
  }

  #mark({ epoch, seq }) {
    this.#enter(epoch);
    this.#sequence.expect(seq);
    this.#mend();
  }

  #rows(message) {
    const { epoch, seq, oldest, rows, reply } = message;
    const request = [this.#sync, this.#page].find((asked) => asked && asked.id === reply);
    if (reply !== undefined && !request) return; // the answer to another view, or a late one
    this.#enter(epoch);
    if (request && message.replay && request.parts.size === 0) this.#list.clear(); // rows between may be missing
    this.#list.show(rows, oldest, request !== undefined && (request === this.#page || message.replay));
    if (request) this.#answered(request, message);
    else this.#sequence.saw(seq);
    this.#mend();
  }

  #answered(request, { part, parts, seq }) {
    request.parts.add(part);
    if (request.parts.size < parts) return;
    request.cancel();
    if (request === this.#page) {
      this.#page = null;
      return;
    }
    this.#sync = null;
    this.#patience = ASK_AGAIN;
    this.#sequence.reached(seq);
    this.#list.busy(false);
  }

  #mend() {
    if (!this.#sync && !this.#sequence.complete) this.#synchronise();
  }
}

// --- a list that follows its tail --------------------------------------------------------------------------------

/**
 * The latest rows in the order of their `n`, in an element that scrolls. It follows the tail while that is in view;
 * else it stays where it is, marks the first unread row and offers to jump. `create(row)` makes `{ node, update(row) }`;
 * `counts(row)`: whether an arriving row is news for the reader.
 */
export class TailList {
  onEarlier = () => {};
  onChange = () => {}; // rows came or went
  #doc;
  #create;
  #counts;
  #entries = new Map(); // id -> { row, node, update }
  #order = []; // entries by row.n
  #unread = 0;
  #pinned = true;
  #layout = ""; // the sizes when the position was last looked at
  #oldest = 0;
  #busy = false;

  constructor({ scope, doc, scroller, create, counts = () => true, marker, noun = "message" }) {
    this.#doc = doc;
    this.#create = create;
    this.#counts = counts;
    this.scroller = scroller;
    this.body = scroller; // a view with a table head sets another
    this.noun = noun;
    this.marker = marker ?? element(doc, "div", { class: "cl-unread", role: "separator" }, element(doc, "span", {}, "New"));
    this.earlier = element(doc, "button", { type: "button", class: "cl-link cl-earlier", hidden: true }, `Show earlier ${noun}s`);
    this.jump = element(doc, "button", { type: "button", class: "cl-jump", hidden: true });
    scope.listen(scroller, "scroll", () => this.#scrolled());
    scope.listen(this.earlier, "click", () => this.#loadEarlier());
    scope.listen(this.jump, "click", () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
    scope.resized(scroller, () => this.#pinned && this.toEnd());
  }

  get size() {
    return this.#order.length;
  }

  get unread() {
    return this.#unread;
  }

  entries() {
    return this.#order.values();
  }

  get(id) {
    return this.#entries.get(id);
  }

  /** While busy, what arrives is history and not news: neither counted as unread nor read aloud. */
  busy(busy) {
    this.#busy = busy;
    this.scroller.setAttribute("aria-busy", String(busy));
    if (this.scroller.getAttribute("role") === "log") this.scroller.setAttribute("aria-live", busy ? "off" : "polite");
  }

  /**
   * Adds and updates rows; `oldest` is the `n` of the first row that Python still has. Rows from before the window are
   * taken only when they `extend` it without a gap.
   */
  show(rows, oldest = 0, extend = false) {
    this.#oldest = oldest;
    const last = this.#order.at(-1)?.row.n ?? -1;
    const first = extend ? -1 : (this.#order[0]?.row.n ?? -1);
    const keep = this.#anchor();
    const news = [];
    for (const row of rows) {
      const entry = this.#entries.get(row.id);
      if (entry) {
        entry.row = row;
        entry.update(row);
      } else if (row.n > first) {
        const added = this.#add(row);
        if (row.n > last && !this.#busy && this.#counts(row)) news.push(added);
      }
    }
    this.#markUnread(news);
    while (this.#order.length > (this.#pinned ? WINDOW : REACH)) this.#forget(this.#order.shift());
    this.earlier.hidden = !this.#order.length || this.#order[0].row.n <= this.#oldest;
    if (this.#pinned) this.toEnd();
    else keep();
    this.onChange();
  }

  clear() {
    for (const entry of this.#order) entry.node.remove();
    this.#order = [];
    this.#entries.clear();
    this.#read();
    this.marker.remove();
    this.earlier.hidden = true;
    this.#pinned = true;
    this.onChange();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#pinned = true;
    this.#reflowed();
    this.#read();
  }

  /** To be called when somebody has made a row larger or smaller: what they look at stays. */
  resized() {
    this.#reflowed();
    this.#scrolled();
  }

  #add(row) {
    const entry = { row, ...this.#create(row) };
    let place = this.#order.length;
    while (place > 0 && this.#order[place - 1].row.n > row.n) place -= 1;
    const next = this.#order[place]?.node;
    if (next) next.before(entry.node);
    else this.body.append(entry.node);
    this.#order.splice(place, 0, entry);
    this.#entries.set(row.id, entry);
    return entry;
  }

  #forget(entry) {
    entry.node.remove();
    this.#entries.delete(entry.row.id);
  }

  #markUnread(news) {
    if (!news.length) return;
    const away = !this.#pinned || this.#doc.hidden;
    if (!away) this.marker.remove();
    else if (!this.#unread && !(this.#doc.hidden && this.marker.isConnected)) news[0].node.before(this.marker);
    if (this.#pinned) return;
    this.#unread += news.length;
    this.#leave();
  }

  #read() {
    this.#unread = 0;
    this.jump.hidden = true;
  }

  #reflowed() {
    const before = this.#layout;
    this.#layout = `${this.scroller.scrollHeight} ${this.scroller.clientHeight}`;
    return before !== this.#layout;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const moved = this.#reflowed() && this.#pinned; // by a theme or font that came late, not by a person
    this.#pinned = scrollHeight - scrollTop - clientHeight < 8;
    if (moved) this.toEnd();
    else if (this.#pinned) this.#read();
    else this.#leave();
    if (!this.#pinned && scrollTop < 24) this.#loadEarlier();
  }

  #leave() {
    this.#pinned = false;
    this.jump.hidden = false;
    setText(this.jump, this.#unread ? `${this.#unread} new \u2013 jump to latest` : "Jump to latest");
  }

  #loadEarlier() {
    if (this.earlier.hidden || this.#order.length >= REACH) return;
    this.#leave();
    this.onEarlier(this.#order[0].row.id);
  }

  /** Remembers the row at the top of what is in view; the returned function brings it back there. */
  #anchor() {
    if (this.#pinned) return () => {};
    const top = this.scroller.getBoundingClientRect().top;
    const entry = this.#order.find(({ node }) => node.getBoundingClientRect().bottom > top);
    const before = entry?.node.getBoundingClientRect().top;
    return () => {
      if (entry?.node.isConnected) this.scroller.scrollTop += entry.node.getBoundingClientRect().top - before;
    };
  }
}
