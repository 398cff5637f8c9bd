// A fake of the model that anywidget gives a view, and a page for the view.
import { afterEach } from "node:test";
import { Window } from "happy-dom";

const pages = [];
afterEach(async () => {
  for (const page of pages.splice(0)) {
    page.end();
    await page.window.happyDOM.close();
  }
});

export class FakeModel {
  sent = [];
  saves = 0;
  #state;
  #listeners = new Map();

  constructor(state = {}) {
    this.#state = { ...state };
  }

  get(name) {
    return this.#state[name];
  }

  set(name, value) {
    this.#state[name] = value;
  }

  save_changes() {
    this.saves += 1;
  }

  /** A synced trait that Python changes. */
  change(name, value) {
    this.#state[name] = value;
    for (const listener of this.#listeners.get(`change:${name}`) ?? []) listener();
  }

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
  }

  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }

  /** Makes `send` throw, as ipywidgets does after a restart of the kernel. */
  disconnected = false;

  send(content) {
    if (this.disconnected) throw new Error("Cannot send");
    this.sent.push(content);
  }

  /** A custom message from Python; through JSON, as on the way through a comm. */
  receive(content) {
    for (const listener of this.#listeners.get("msg:custom") ?? []) listener(JSON.parse(JSON.stringify(content)), []);
  }

  asked(type) {
    return this.sent.filter((message) => message.type === type);
  }

  get listening() {
    return [...this.#listeners.values()].reduce((sum, listeners) => sum + listeners.size, 0);
  }
}

/** The Python end of a feed, as far as a view can tell. */
export class FakeFeed {
  seq = 0;
  epoch = 0;
  oldest = 0;
  newest = -1;
  total = 0;

  constructor(model) {
    this.model = model;
  }

  news(rows) {
    this.seq += 1;
    this.#know(rows);
    const { epoch, seq, oldest, total } = this;
    this.model.receive({ type: "rows", epoch, seq, oldest, total, rows });
  }

  #know(rows) {
    this.newest = Math.max(this.newest, ...rows.map(({ n }) => n));
    this.total = this.newest + 1 - this.oldest;
  }

  lose() {
    this.seq += 1;
  }

  mark() {
    this.model.receive({ type: "mark", epoch: this.epoch, seq: this.seq });
  }

  answer(request, rows, fields = {}) {
    this.#know(rows);
    const { epoch, seq, oldest, newest, total } = this;
    const own = { reply: request.request, part: 0, parts: 1, replay: true, newest, fitting: rows.length };
    this.model.receive({ type: "rows", epoch, seq, oldest, total, rows, ...own, ...fields });
  }

  /** Answers the latest request of a type. */
  reply(type, rows, fields) {
    this.answer(this.model.asked(type).at(-1), rows, fields);
  }
}

/** Counts the listeners that are added and not removed, on any node. */
function countListeners(node, count) {
  let prototype = node;
  while (!Object.hasOwn(prototype, "addEventListener")) prototype = Object.getPrototypeOf(prototype);
  const { addEventListener, removeEventListener } = prototype;
  prototype.addEventListener = function (...args) {
    count(1);
    return addEventListener.apply(this, args);
  };
  prototype.removeEventListener = function (...args) {
    count(-1);
    return removeEventListener.apply(this, args);
  };
  return () => Object.assign(prototype, { addEventListener, removeEventListener });
}

/** Mounts a view in a page of its own, of a model with such traits. */
export function mount(view, state = {}) {
  const window = new Window({ url: "http://localhost/" });
  const el = window.document.createElement("div");
  window.document.body.append(el);
  const model = new FakeModel(state);
  const page = {
    window,
    el,
    model,
    listeners: 0,
    feed: new FakeFeed(model),
    $: (selector) => el.querySelector(selector),
    $$: (selector) => [...el.querySelectorAll(selector)],
  };
  const restore = countListeners(el, (change) => (page.listeners += change));
  const end = view.render({ model, el });
  page.end = () => {
    end();
    restore();
  };
  pages.push(page);
  return page;
}

export function press(page, node, key, fields = {}) {
  const event = new page.window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...fields });
  node.dispatchEvent(event);
  return event;
}

/** Gives an element a layout, which happy-dom doesn't compute. */
export function layOut(node, { scrollHeight, clientHeight }) {
  Object.defineProperty(node, "scrollHeight", { configurable: true, get: () => scrollHeight });
  Object.defineProperty(node, "clientHeight", { configurable: true, get: () => clientHeight });
}

export function scrollTo(page, node, top) {
  node.scrollTop = top;
  node.dispatchEvent(new page.window.Event("scroll"));
}

/** Lays a scroller out, and has somebody read further up in it. */
export function readAt(page, scroller, top) {
  layOut(scroller, { scrollHeight: 1_000, clientHeight: 100 });
  scrollTo(page, scroller, 900);
  scrollTo(page, scroller, top);
}

export function range(length, make) {
  return Array.from({ length }, (_, index) => make(index));
}
