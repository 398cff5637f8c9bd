import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import view, { passes, prettyJson, sizeText } from "../../chatlab/widgets/static/frame_log.js";
import { WINDOW } from "../../chatlab/widgets/static/tail_list.js";
import { mount, press, range, readAt } from "./fake-model.mjs";

const frame = (n, fields = {}) => ({ id: `f${n}`, n, at: 1_700_000_000_000 + n, direction: "down", size: 12, kind: "message", text: `{"n":${n}}`, ...fields });
const shown = (page) => page.$$(".cl-row").map((row) => row.dataset.id);
const table = JSON.parse(readFileSync(new URL("frame-filter.json", import.meta.url)));

/** A page of frames; `pick` and `heartbeats` change its filter, and `python` answers as Python would, from all rows. */
function frames(rows = []) {
  const page = mount(view);
  const all = new Map();
  page.python = (type = "ready") => {
    const asked = page.model.asked(type).at(-1);
    const fitting = [...all.values()].filter((row) => passes(row, asked.filter));
    const page_ = type === "before" ? fitting.filter(({ n }) => n < all.get(asked.id).n) : fitting;
    page.feed.answer(asked, page_, { replay: type === "ready", fitting: fitting.length, oldest: fitting[0]?.n ?? all.size });
  };
  page.know = (rows) => rows.forEach((row) => all.set(row.id, row));
  page.news = (rows) => {
    page.know(rows);
    page.feed.news(rows);
  };
  page.pick = (label, value) => {
    const control = page.$(`[aria-label="${label}"]`);
    control.value = value;
    control.dispatchEvent(new page.window.Event("change"));
  };
  page.heartbeats = (wanted) => {
    const box = page.$("input[type=checkbox]");
    box.checked = wanted;
    box.dispatchEvent(new page.window.Event("change"));
  };
  page.search = (text) => {
    const box = page.$('[aria-label="Filter content"]');
    box.value = text;
    box.dispatchEvent(new page.window.Event("input"));
  };
  page.know(rows);
  page.python();
  return page;
}

const mixed = () => [
  frame(0, { direction: "local", kind: "open", text: "" }),
  frame(1, { direction: "up", text: '{"text":"Hello"}' }),
  frame(2, { direction: "up", kind: "ping", text: '{"type":"ping"}' }),
  frame(3, { kind: "pong", text: '{"type":"pong"}' }),
  frame(4, { kind: "ack", text: "x".repeat(5_000) + "needle" }),
];

test("a row has time, direction, kind, size and the start of its payload", () => {
  const page = frames(mixed());
  const cells = [...page.$('[data-id="f1"]').querySelectorAll("td")].map((cell) => cell.textContent);
  assert.match(cells[0], /^\d\d:\d\d:\d\d\.001$/);
  assert.deepEqual(cells.slice(1), ["\u2191up", "message", "12 B", '{"text":"Hello"}']);
  assert.ok(page.$('[data-id="f4"] .cl-payload').textContent.length < 300);
  assert.equal(page.$('[data-id="f0"] .cl-payload').textContent, "(empty)");
});

for (const { filter, passing } of table.filters) {
  test(`a view filters as Python does: ${JSON.stringify(filter)}`, () => {
    const wanted = { direction: "", kind: "", text: "", heartbeats: true, ...filter };
    assert.deepEqual(table.frames.filter((row) => passes(row, wanted)).map(({ id }) => id), passing);
  });
}

test("heartbeats are hidden unless wanted", () => {
  const page = frames(mixed());
  assert.equal(page.model.asked("ready")[0].filter.heartbeats, false);
  assert.deepEqual(shown(page), ["f0", "f1", "f4"]);
  assert.equal(page.$(".cl-count").textContent, "3 of 5 frames");
  page.heartbeats(true);
  page.python();
  assert.deepEqual(shown(page), ["f0", "f1", "f2", "f3", "f4"]);
  assert.equal(page.$(".cl-count").textContent, "5 frames");
});

test("a changed filter requests the frames that only Python has", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = frames(range(600, (n) => frame(n, n % 100 ? {} : { direction: "up", text: "a needle" })).slice(100));
  page.know(range(100, (n) => frame(n, n ? {} : { text: "the first needle" })));
  page.pick("Direction", "up");
  assert.deepEqual(page.model.asked("ready").at(-1).filter, { direction: "up", kind: "", text: "", heartbeats: false });
  assert.deepEqual(shown(page), ["f100", "f200", "f300", "f400", "f500"]);
  assert.equal(page.$(".cl-scroll").getAttribute("aria-busy"), "true");
  page.python();
  assert.equal(page.$(".cl-scroll").getAttribute("aria-busy"), "false");
  page.pick("Direction", "");
  page.search("NEED");
  page.search("NEEDLE");
  assert.equal(page.model.asked("ready").length, 3);
  t.mock.timers.tick(150);
  assert.equal(page.model.asked("ready").at(-1).filter.text, "NEEDLE");
  assert.equal(page.model.asked("ready").length, 4); // one for both keys
  page.python();
  assert.deepEqual(shown(page), ["f0", "f100", "f200", "f300", "f400", "f500"]);
  assert.equal(page.$(".cl-count").textContent, "6 of 600 frames");
});

test("new and changed frames are shown only if they pass the filter", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = frames(mixed());
  page.search("needle");
  t.mock.timers.tick(150);
  page.python();
  assert.deepEqual(shown(page), ["f4"]);
  page.news([frame(5, { text: "another needle" }), frame(6)]);
  assert.deepEqual(shown(page), ["f4", "f5"]);
  assert.equal(page.$(".cl-count").textContent, "2 of 7 frames");
  page.news([frame(6, { text: "changed: needle" }), frame(5, { text: "no more" })]);
  assert.deepEqual(shown(page), ["f4", "f6"]);
});

test("A70: frames that arrive between a request and its answer stay, and are counted once", () => {
  const page = frames(mixed());
  page.pick("Direction", "down");
  const { seq } = page.feed; // that of the answer, which is made before the next frame and comes after it
  page.feed.news([frame(5)]);
  page.feed.answer(page.model.asked("ready").at(-1), [frame(4, { kind: "ack" })], { seq, newest: 4, total: 6, fitting: 1 });
  assert.deepEqual(shown(page), ["f4", "f5"]);
  assert.equal(page.$(".cl-count").textContent, "2 of 6 frames");
});

test("earlier frames that pass are offered while there are any", () => {
  const page = frames();
  page.know(range(20, (n) => frame(n, n > 4 && n < 8 ? { direction: "up" } : {})));
  page.pick("Direction", "up");
  page.feed.answer(page.model.asked("ready").at(-1), [frame(7, { direction: "up" })], { oldest: 5, fitting: 3, newest: 19 });
  const earlier = page.$(".cl-earlier");
  assert.equal(earlier.hidden, false);
  page.news([frame(20)]);
  assert.equal(earlier.hidden, false);
  earlier.click();
  page.python("before");
  assert.deepEqual(shown(page), ["f5", "f6", "f7"]);
  assert.equal(earlier.hidden, true);
  page.news([frame(21, { direction: "up" })]);
  assert.equal(earlier.hidden, true);
});

test("an empty list says why, and offers to clear the filter", () => {
  const page = frames();
  const empty = page.$(".cl-empty");
  assert.match(empty.textContent, /^No frames yet/);
  assert.equal(empty.querySelector("button").hidden, true);
  page.news(mixed());
  page.pick("Kind", "nothing like it");
  page.pick("Direction", "local");
  page.heartbeats(false);
  page.news([frame(5, { kind: "ping" })]);
  const [row] = [...page.$$(".cl-row")];
  page.news([frame(0, { direction: "up", kind: "open" })]);
  page.python();
  assert.equal(row.isConnected, false);
  assert.match(empty.textContent, /^None of 6 frames passes the filter\./);
  empty.querySelector("button").click();
  page.python();
  assert.equal(page.$$(".cl-row").length, 6);
});

test("one frame is counted in the singular", () => {
  const page = frames([frame(0)]);
  assert.equal(page.$(".cl-count").textContent, "1 frame");
});

test("the kinds to choose from are those that Python knows, and the choice stays", () => {
  const page = frames([frame(0)]);
  const kinds = () => [...page.$('[aria-label="Kind"]').options].map((option) => option.textContent);
  page.model.receive({ type: "kinds", names: ["<b>", "message"] });
  assert.deepEqual(kinds(), ["All kinds", "<b>", "message"]);
  page.pick("Kind", "message");
  page.model.receive({ type: "kinds", names: ["<b>", "ack", "message"] });
  assert.deepEqual(kinds(), ["All kinds", "<b>", "ack", "message"]);
  assert.equal(page.$('[aria-label="Kind"]').value, "message");
});

test("a filtered frame doesn't count as unread", () => {
  const page = frames([frame(0)]);
  const scroller = page.$(".cl-scroll");
  readAt(page, scroller, 400);
  page.news([frame(1, { kind: "ping" })]);
  assert.equal(page.$(".cl-jump").textContent, "Jump to latest");
  page.news([frame(2)]);
  assert.equal(page.$(".cl-jump").textContent, "1 new \u2013 jump to latest");
  assert.equal(page.$(".cl-unread-row").nextElementSibling.dataset.id, "f2");
});

test("expands to indented JSON, or raw on demand, and follows changes", () => {
  const page = frames([frame(0, { text: '{"a":[1,2]}' })]);
  const button = page.$(".cl-expand");
  button.click();
  assert.equal(button.getAttribute("aria-expanded"), "true");
  assert.equal(page.$("pre").textContent, '{\n  "a": [\n    1,\n    2\n  ]\n}');
  page.$("[data-action=raw]").click();
  assert.equal(page.$("pre").textContent, '{"a":[1,2]}');
  page.news([frame(0, { text: "not JSON" })]);
  assert.equal(page.$("pre").textContent, "not JSON");
  assert.equal(page.$("[data-action=raw]").hidden, true);
  button.click();
  assert.equal(page.$("pre"), null);
});

test("Tab stops at the last frame only, and the arrow keys go to the others", () => {
  const page = frames([frame(0), frame(1)]);
  const stops = () => page.$$(".cl-expand").map((button) => button.tabIndex);
  assert.deepEqual(stops(), [-1, 0]);
  page.feed.news([frame(2)]);
  assert.deepEqual(stops(), [-1, -1, 0]);
  const [first, second, third] = page.$$(".cl-expand");
  const focused = () => page.window.document.activeElement;
  third.focus();
  press(page, third, "ArrowUp");
  assert.equal(focused(), second);
  press(page, second, "ArrowUp");
  press(page, first, "ArrowUp");
  assert.equal(focused(), first);
  press(page, first, "ArrowDown");
  assert.equal(focused(), second);
});

test("indented JSON differs only in whitespace", () => {
  const text = String.raw`{"big":12345678901234567890,"twice":1,"twice":2,"e":1.0e5,"s":"a, b: {\"c\" }","b":"\\","o":{ },"l":[ ],"n":[[],[{}]],"u":"\u00e9", "t" : true}`;
  const pretty = prettyJson(text);
  const bare = (json) => json.replace(/("[^"\\]*(?:\\.[^"\\]*)*")|\s+/g, "$1");
  assert.equal(bare(pretty), bare(text));
  assert.match(pretty, /"big": 12345678901234567890,\n/);
  assert.match(pretty, /"o": \{\},\n {2}"l": \[\],\n/);
  assert.match(pretty, /"n": \[\n {4}\[\],\n {4}\[\n {6}\{\}\n {4}\]\n {2}\],/);
  assert.equal(prettyJson("plain"), null);
  assert.equal(prettyJson("{broken"), null);
  assert.equal(prettyJson("[".repeat(100_000)), null);
  assert.equal(bare(prettyJson("[".repeat(5_000) + "]".repeat(5_000))).length, 10_000);
});

test("copies the payload as it was sent, and says so for a while", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = frames([frame(0, { text: "raw \u001b text" })]);
  const copied = [];
  Object.defineProperty(page.window.navigator, "clipboard", { value: { writeText: async (text) => copied.push(text) } });
  page.$(".cl-expand").click();
  const button = page.$("[data-action=copy]");
  button.click();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(copied, ["raw \u001b text"]);
  assert.equal(button.textContent, "Copied");
  t.mock.timers.tick(2_000);
  assert.equal(button.textContent, "Copy");
});

test("A72, A75: payloads are text with control characters visible", () => {
  const page = frames([frame(0, { text: "<img src=x onerror=alert(1)>\u001b\u202e", kind: "<script>" })]);
  page.$(".cl-expand").click();
  assert.equal(page.$("img"), null);
  assert.equal(page.$("script"), null);
  assert.equal(page.$("pre").textContent, "<img src=x onerror=alert(1)>\u27e8ESC\u27e9\u27e8RLO\u27e9");
  assert.equal(page.$("bdi").textContent, "<img src=x onerror=alert(1)>\u27e8ESC\u27e9\u27e8RLO\u27e9");
});

test("sizes are readable, and a missing one is empty", () => {
  assert.deepEqual([0, 999, 9_999, 10_000, 2_500_000, undefined].map(sizeText), ["0 B", "999 B", "9,999 B", "10.0 kB", "2.5 MB", ""]);
});

test("the page holds a window of 500 rows", () => {
  const page = frames();
  page.feed.news(range(300, (n) => frame(n)));
  page.feed.news(range(300, (n) => frame(300 + n)));
  assert.equal(page.$$(".cl-row").length, WINDOW);
  assert.equal(page.$(".cl-count").textContent, "600 frames");
});

test("cleanup leaves no listener, no timer and no node", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const page = mount(view);
  page.feed.news([frame(0)]);
  const sent = page.model.sent.length;
  page.end();
  t.mock.timers.tick(100_000);
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length, page.model.sent.length], [0, 0, 0, sent]);
});

for (const parts of [1, 2]) {
  test(`an answer in ${parts} parts keeps expanded frames and the focus`, () => {
    const page = frames(mixed());
    page.pick("Direction", "up");
    const button = page.$('[data-id="f1"] .cl-expand');
    button.focus();
    button.click();
    const asked = page.model.asked("ready").at(-1);
    const up = mixed().filter((row) => passes(row, asked.filter));
    const size = Math.ceil(up.length / parts);
    for (const part of range(parts, (part) => part)) {
      page.feed.answer(asked, up.slice(part * size, (part + 1) * size), { part, parts, fitting: up.length, newest: 4 });
    }
    assert.equal(page.$('[data-id="f1"] pre').textContent, '{\n  "text": "Hello"\n}');
    assert.equal(page.window.document.activeElement, page.$('[data-id="f1"] .cl-expand'));
    assert.deepEqual(shown(page), ["f1"]);
  });
}

test("frames that an answer in parts lacks are removed with its last part, whichever that is", () => {
  const page = frames(range(3, (n) => frame(n)));
  page.heartbeats(true);
  const asked = page.model.asked("ready").at(-1);
  const known = range(8, (n) => frame(n));
  page.feed.answer(asked, known.slice(6), { part: 1, parts: 2, fitting: 4, newest: 7, oldest: 4 });
  page.feed.news([frame(8)]);
  page.feed.answer(asked, known.slice(4, 6), { part: 0, parts: 2, fitting: 4, newest: 7, oldest: 4 });
  assert.deepEqual(shown(page), ["f4", "f5", "f6", "f7", "f8"]);
});

test("in slow motion, times are seconds since the start", () => {
  const page = mount(view, { elapsed: true });
  assert.equal(page.model.asked("ready")[0].filter.heartbeats, true, "and heartbeats are shown");
  page.feed.reply("ready", [frame(0, { at: 30_160, kind: "ping" })]);
  assert.equal(page.$("time").textContent, "30.160 s");
  page.$("[data-action=expand]").click();
  assert.match(page.$(".cl-detail-bar").textContent, /30\.160 s/);
});
