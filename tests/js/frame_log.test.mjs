import assert from "node:assert/strict";
import { test } from "node:test";
import view, { passes, prettyJson, sizeText } from "../../chatlab/widgets/static/frame_log.js";
import { WINDOW } from "../../chatlab/widgets/static/tail_list.js";
import { mount, range, readAt } from "./fake-model.mjs";

const frame = (n, fields = {}) => ({ id: `f${n}`, n, at: 1_700_000_000_000 + n, direction: "down", size: 12, kind: "message", text: `{"n":${n}}`, ...fields });
const shown = (page) => page.$$(".cl-row").filter((row) => !row.hidden).map((row) => row.dataset.id);

function frames(rows = []) {
  const page = mount(view);
  page.feed.reply("ready", rows);
  page.pick = (label, value) => {
    const control = page.$(`[aria-label="${label}"]`);
    control.value = value;
    control.dispatchEvent(new page.window.Event(label === "Filter content" ? "input" : "change"));
  };
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

test("heartbeats are hidden unless wanted", () => {
  const page = frames(mixed());
  assert.deepEqual(shown(page), ["f0", "f1", "f4"]);
  assert.equal(page.$(".cl-count").textContent, "3 of 5 frames");
  const box = page.$("input[type=checkbox]");
  box.checked = true;
  box.dispatchEvent(new page.window.Event("change"));
  assert.deepEqual(shown(page), ["f0", "f1", "f2", "f3", "f4"]);
  assert.equal(page.$(".cl-count").textContent, "5 frames");
});

test("filters by direction, kind and text of the whole payload, old rows and new", () => {
  const page = frames(mixed());
  page.pick("Direction", "up");
  assert.deepEqual(shown(page), ["f1"]);
  page.pick("Direction", "");
  page.pick("Kind", "ack");
  assert.deepEqual(shown(page), ["f4"]);
  page.pick("Kind", "");
  page.pick("Filter content", "NEEDLE");
  assert.deepEqual(shown(page), ["f4"]);
  page.feed.news([frame(5, { text: "another needle" }), frame(6)]);
  assert.deepEqual(shown(page), ["f4", "f5"]);
  page.feed.news([frame(6, { text: "changed: needle" })]);
  assert.deepEqual(shown(page), ["f4", "f5", "f6"]);
  assert.equal(page.model.sent.length, 1); // a filter is the view's own affair
});

test("one frame is one frame", () => {
  const page = frames([frame(0)]);
  assert.equal(page.$(".cl-count").textContent, "1 frame");
});

test("the kinds to choose from are those that came", () => {
  const page = frames([frame(0), frame(1, { kind: "<b>" }), frame(2)]);
  assert.deepEqual([...page.$('[aria-label="Kind"]').options].map((option) => option.textContent), ["All kinds", "message", "<b>"]);
});

test("a filtered frame is not news", () => {
  const page = frames([frame(0)]);
  const scroller = page.$(".cl-scroll");
  readAt(page, scroller, 400);
  page.feed.news([frame(1, { kind: "ping" })]);
  assert.equal(page.$(".cl-jump").textContent, "Jump to latest");
  page.feed.news([frame(2)]);
  assert.equal(page.$(".cl-jump").textContent, "1 new \u2013 jump to latest");
  assert.equal(page.$(".cl-unread-row").nextElementSibling.dataset.id, "f2");
});

test("expands to laid-out JSON, as sent on demand, and follows changes", () => {
  const page = frames([frame(0, { text: '{"a":[1,2]}' })]);
  const button = page.$(".cl-expand");
  button.click();
  assert.equal(button.getAttribute("aria-expanded"), "true");
  assert.equal(page.$("pre").textContent, '{\n  "a": [\n    1,\n    2\n  ]\n}');
  page.$("[data-action=raw]").click();
  assert.equal(page.$("pre").textContent, '{"a":[1,2]}');
  page.feed.news([frame(0, { text: "not JSON" })]);
  assert.equal(page.$("pre").textContent, "not JSON");
  assert.equal(page.$("[data-action=raw]").hidden, true);
  button.click();
  assert.equal(page.$("pre"), null);
});

test("laid-out JSON changes nothing but space", () => {
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

test("copies the payload as it was sent", async () => {
  const page = frames([frame(0, { text: "raw \u001b text" })]);
  const copied = [];
  Object.defineProperty(page.window.navigator, "clipboard", { value: { writeText: async (text) => copied.push(text) } });
  page.$(".cl-expand").click();
  const button = page.$("[data-action=copy]");
  button.click();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(copied, ["raw \u001b text"]);
  assert.equal(button.textContent, "Copied");
});

test("A72, A75: payloads are text with control characters visible", () => {
  const page = frames([frame(0, { text: "<img src=x onerror=alert(1)>\u001b\u202e", kind: "<script>" })]);
  page.$(".cl-expand").click();
  assert.equal(page.$("img"), null);
  assert.equal(page.$("script"), null);
  assert.equal(page.$("pre").textContent, "<img src=x onerror=alert(1)>\u27e8ESC\u27e9\u27e8RLO\u27e9");
  assert.equal(page.$("bdi").textContent, "<img src=x onerror=alert(1)>\u27e8ESC\u27e9\u27e8RLO\u27e9");
});

test("sizes are readable, and none is no size", () => {
  assert.deepEqual([0, 999, 9_999, 10_000, 2_500_000, undefined].map(sizeText), ["0 B", "999 B", "9,999 B", "10.0 kB", "2.5 MB", ""]);
});

test("a filter needs no payload", () => {
  assert.equal(passes({ kind: "open", direction: "local" }, { text: "OPEN", heartbeats: false }), true);
});

test("the page holds a window of 500 rows", () => {
  const page = frames();
  page.feed.news(range(400, (n) => frame(n)));
  page.feed.news(range(400, (n) => frame(400 + n)));
  assert.equal(page.$$(".cl-row").length, WINDOW);
  assert.equal(page.$(".cl-count").textContent, "500 frames");
});

test("cleaning up leaves no listener, no timer and no node", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const page = mount(view);
  page.feed.news([frame(0)]);
  const sent = page.model.sent.length;
  page.end();
  t.mock.timers.tick(100_000);
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length, page.model.sent.length], [0, 0, 0, sent]);
});
