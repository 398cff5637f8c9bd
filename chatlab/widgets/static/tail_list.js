// A list that scrolls with new rows, unless the reader has scrolled up.
import { element, setText } from "./view.js";

export const WINDOW = 500; // maximum rows in the page while at the end
export const REACH = 5_000; // maximum rows in the page while scrolled up

/**
 * The latest rows, ordered by `n`, in a scrolling element. While the end is in view, it scrolls with new rows. Otherwise
 * it keeps its position, marks the first unread row and offers to jump to the end. `create(row)` returns
 * `{ node, update(row) }`, optionally with `follow(row)`, which is called with the row above. `counts(row)` returns
 * whether a new row counts as unread.
 */
export class TailList {
  onEarlier = () => {};
  onChange = () => {}; // called when rows are added or removed
  #doc;
  #create;
  #counts;
  #entries = new Map(); // id -> { row, node, update }
  #order = []; // entries by row.n
  #unread = 0;
  #pinned = true;
  #layout = ""; // sizes at the last check of the position
  #oldest = 0;
  #busy = false;

  constructor({ scope, doc, scroller, create, counts = () => true, marker, noun = "message" }) {
    this.#doc = doc;
    this.#create = create;
    this.#counts = counts;
    this.scroller = scroller;
    this.body = scroller; // a view with a table sets another element
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

  get last() {
    return this.#order.at(-1);
  }

  entries() {
    return this.#order.values();
  }

  get(id) {
    return this.#entries.get(id);
  }

  /** While busy, arriving rows are history: they are neither counted as unread nor read by screen readers. */
  busy(busy) {
    this.#busy = busy;
    this.scroller.setAttribute("aria-busy", String(busy));
    if (this.scroller.getAttribute("role") === "log") this.scroller.setAttribute("aria-live", busy ? "off" : "polite");
  }

  /**
   * Adds and updates rows; `oldest` is the `n` of the first row that Python still has. Rows from before the window are
   * added only with `extend`, which the caller sets if there is no gap.
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
    this.#relate(0);
    this.#offerEarlier();
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

  /** Keeps only rows for which `keeps(row)` is true; the visible rows keep their position. */
  retain(keeps) {
    const gone = this.#order.filter(({ row }) => !keeps(row));
    if (!gone.length) return;
    const keep = this.#anchor();
    for (const entry of gone) this.#forget(entry);
    this.#order = this.#order.filter(({ row }) => this.#entries.has(row.id));
    if (!this.#order.length) return this.clear();
    this.#order.forEach((_, place) => this.#relate(place));
    if (this.#pinned) this.toEnd();
    else keep();
    this.onChange();
  }

  /** Removes these rows, if they are shown. */
  drop(rows) {
    const ids = new Set(rows.map(({ id }) => id).filter((id) => this.#entries.has(id)));
    if (ids.size) this.retain(({ id }) => !ids.has(id));
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#pinned = true;
    this.#reflowed();
    this.#read();
  }

  /** Must be called after a row was expanded or collapsed; keeps the scroll position. */
  resized() {
    this.#reflowed();
    this.#scrolled();
  }

  /** Calls `follow` of an entry, if it has one, with the row above. */
  #relate(place) {
    this.#order[place]?.follow?.(this.#order[place - 1]?.row);
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
    this.#relate(place);
    this.#relate(place + 1);
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
    const moved = this.#reflowed() && this.#pinned; // by a late theme or font, not by a person
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

  /** Offers earlier rows; if the page is full, says how to read them. */
  #offerEarlier() {
    this.earlier.hidden = !this.#order.length || this.#order[0].row.n <= this.#oldest;
    this.earlier.disabled = this.#order.length >= REACH;
    const full = `The page shows ${REACH.toLocaleString("en")} ${this.noun}s at most; save them all to read earlier ones`;
    setText(this.earlier, this.earlier.disabled ? full : `Show earlier ${this.noun}s`);
  }

  #loadEarlier() {
    if (this.earlier.hidden || this.earlier.disabled) return;
    this.#leave();
    this.onEarlier(this.#order[0].row.id);
  }

  /** Returns a function that scrolls the topmost visible row back to its present position. */
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
