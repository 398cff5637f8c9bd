import assert from "node:assert/strict";
import { test } from "node:test";
import view, { Range, spanText, tickStep, tickText } from "../../chatlab/widgets/static/timeline.js";
import { mount, press } from "./fake-model.mjs";

const lanes = () => [
  {
    name: "live",
    spans: [
      { status: "connecting", start: 0, end: 1 },
      { status: "connected", start: 1, end: 6 },
      { status: "reconnecting", start: 6, end: null },
    ],
    marks: [{ kind: "fault", label: "server down <b>", at: 5.5 }],
  },
  { name: "predicted", spans: [{ status: "connected", start: 0, end: 10 }], marks: [] },
];
const timeline = (fields) => ({ type: "timeline", now: 10, running: false, lanes: lanes(), ...fields });
const bars = (page) => page.$$(".cl-drawing .cl-span .cl-fill").map((bar) => [Number(bar.getAttribute("x")), Number(bar.getAttribute("width"))]);
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 0.01, `${actual} is not ${expected}`);

test("requests the lanes, and draws each span at its place", () => {
  const page = mount(view);
  assert.deepEqual(page.model.sent, [{ type: "ready" }]);
  page.model.receive(timeline());
  const [connecting, connected, open, predicted] = bars(page);
  near(connected[0], connecting[0] + connecting[1]);
  near(connected[1], 5 * connecting[1]);
  near(open[1], 4 * connecting[1]);
  near(predicted[1], 10 * connecting[1]);
  assert.deepEqual(page.$$(".cl-names text").map((text) => text.textContent), ["live", "predicted"]);
});

test("a status has a colour, a pattern, a label and a tooltip", () => {
  const page = mount(view);
  page.model.receive(timeline());
  const [connecting, connected, open] = page.$$(".cl-drawing .cl-span");
  assert.ok(open.classList.contains("cl-reconnecting"));
  const pattern = open.querySelector(".cl-pattern").getAttribute("fill");
  assert.notEqual(pattern, connecting.querySelector(".cl-pattern").getAttribute("fill"));
  assert.ok(page.el.querySelector(`[id="${pattern.slice(5, -1)}"]`));
  assert.equal(connected.querySelector("text").textContent, "connected");
  assert.equal(open.querySelector("title").textContent, "live: reconnecting 6.0\u201310.0 s (4.0 s, so far)");
  assert.match(page.$("svg[role=img]").getAttribute("aria-label"), /live: reconnecting .* predicted: connected/);
});

test("a note stands below, as text", () => {
  const page = mount(view);
  page.model.receive(timeline({ note: "Predicted: 1 of 1 attempts <b>" }));
  assert.equal(page.$(".cl-note").textContent, "Predicted: 1 of 1 attempts <b>");
  page.model.receive(timeline());
  assert.equal(page.$(".cl-note").textContent, "");
});

test("marks say what happened, as text", () => {
  const page = mount(view);
  page.model.receive(timeline());
  const mark = page.$(".cl-point");
  assert.equal(mark.dataset.kind, "fault");
  assert.equal(mark.querySelector("title").textContent, "server down <b> at 5.5 s");
  assert.equal(page.$("b"), null);
});

test("time goes on by itself while it runs, and nodes stay", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"], now: 1_000_000 });
  const page = mount(view);
  page.model.receive(timeline({ running: true }));
  const node = page.$$(".cl-drawing .cl-span")[2];
  t.mock.timers.tick(5_000);
  assert.equal(page.$$(".cl-drawing .cl-span")[2], node);
  assert.match(node.querySelector("title").textContent, /6\.0\u201315\.0 s/);
  page.model.receive(timeline({ now: 16 }));
  t.mock.timers.tick(5_000);
  assert.match(node.querySelector("title").textContent, /6\.0\u201316\.0 s/);
});

test("in slow motion time goes on more slowly, on an axis of the whole run", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"], now: 1_000_000 });
  const page = mount(view);
  page.model.receive(timeline({ running: true, rate: 0.01, until: 60 }));
  const node = page.$$(".cl-drawing .cl-span")[2];
  t.mock.timers.tick(50_000);
  assert.match(node.querySelector("title").textContent, /6\.0\u201310\.5 s/);
  assert.match(page.$$(".cl-grid text").at(-1).textContent, /^(60 s|1:00)$/);
  page.model.receive(timeline({ running: true }));
  assert.doesNotMatch(page.$$(".cl-grid text").at(-1).textContent, /^(60 s|1:00)$/);
});

test("fewer lanes and spans leave nothing behind", () => {
  const page = mount(view);
  page.model.receive(timeline());
  page.model.receive(timeline({ lanes: [{ name: "live", spans: [], marks: [] }] }));
  assert.equal(page.$$(".cl-drawing .cl-span").length, 0);
  assert.equal(page.$$(".cl-point").length, 0);
  page.model.receive(timeline({ lanes: [] }));
  assert.equal(page.$$(".cl-names text").length, 0);
});

test("an unknown status and name are text", () => {
  const page = mount(view);
  page.model.receive(timeline({ lanes: [{ name: "<i>\u202e", spans: [{ status: "<u>", start: 0, end: 9 }], marks: [] }] }));
  assert.equal(page.$("i, u"), null);
  assert.match(page.$(".cl-drawing .cl-span title").textContent, /^<i>\u27e8RLO\u27e9: <u> /);
});

test("zooms in, pans with the arrow keys, and shows all again", () => {
  const page = mount(view);
  page.model.receive(timeline());
  const [wider, closer, fit] = page.$$(".cl-zoom button");
  assert.deepEqual([wider.disabled, closer.disabled, fit.disabled], [true, false, true]);
  closer.click();
  const width = () => bars(page).at(-1)[1];
  const ticks = page.$$(".cl-grid text").map((text) => text.textContent);
  assert.equal(ticks[0], "3 s");
  page.$("svg[role=img]").dispatchEvent(new page.window.KeyboardEvent("keydown", { key: "ArrowRight", cancelable: true, bubbles: true }));
  assert.equal(page.$(".cl-grid text").textContent, "3 s");
  assert.equal(page.$$(".cl-grid text").at(-1).textContent, "8 s");
  const zoomed = width();
  fit.click();
  assert.ok(width() <= zoomed);
  assert.equal(page.$(".cl-grid text").textContent, "0 s");
});

test("zooms by key, and by the wheel with Ctrl around the pointer; without it the page scrolls", () => {
  const page = mount(view);
  page.model.receive(timeline());
  const drawing = page.$(".cl-drawing");
  const whole = bars(page);
  const key = (name) => press(page, drawing, name);
  key("+");
  assert.equal(page.$("[aria-label='Show everything']").disabled, false);
  key("-");
  assert.deepEqual(bars(page), whole);
  key("+");
  key("0");
  assert.deepEqual(bars(page), whole);
  const wheel = (fields) => {
    const event = new page.window.Event("wheel", { bubbles: true, cancelable: true });
    Object.assign(event, { deltaY: -1, offsetX: 630, ...fields }); // at the right end of 640 pixels
    drawing.dispatchEvent(event);
    return event.defaultPrevented;
  };
  assert.equal(wheel({}), false);
  assert.deepEqual(bars(page), whole);
  assert.equal(wheel({ ctrlKey: true }), true);
  assert.equal(wheel({ ctrlKey: true }), true);
  const last = page.$$(".cl-drawing .cl-span").at(-1).querySelector("title").textContent;
  assert.match(last, /predicted/);
  const ticks = page.$$(".cl-grid text").map((text) => text.textContent);
  assert.deepEqual([["5 s", "6 s"].includes(ticks[0]), ticks.at(-1)], [true, "10 s"]); // the point under the pointer stays
});

test("an empty timeline explains itself", () => {
  const page = mount(view);
  page.model.receive(timeline({ lanes: [{ name: "live", spans: [], marks: [] }] }));
  assert.match(page.$(".cl-hint").textContent, /^Statuses, attempts and faults/);
  page.model.receive(timeline());
  assert.equal(page.$(".cl-hint").textContent, "");
});

test("dragging pans by as much as the pointer moved", () => {
  const page = mount(view);
  page.model.receive(timeline());
  page.$$(".cl-zoom button")[1].click();
  const svg = page.$("svg[role=img]");
  const point = (type, clientX) => svg.dispatchEvent(new page.window.PointerEvent(type, { clientX, button: 0, bubbles: true }));
  const position = () => Number(page.$(".cl-point").getAttribute("transform").match(/\(([\d.]+),/)[1]);
  const before = position();
  point("pointerdown", 300);
  point("pointermove", 250);
  point("pointerup", 250);
  point("pointermove", 100);
  const moved = before - position();
  assert.ok(moved > 35 && moved < 55, String(moved));
});

test("a range stays within the total time", () => {
  const range = new Range();
  range.pan(5, 10);
  assert.deepEqual(range.resolve(10), [0, 10]);
  range.zoom(0.5, 10);
  assert.deepEqual(range.resolve(10), [2.5, 7.5]);
  range.pan(100, 10);
  assert.deepEqual(range.resolve(10), [5, 10]);
  range.pan(-100, 10);
  assert.deepEqual(range.resolve(10), [0, 5]);
  range.zoom(3, 10);
  assert.equal(range.start, null);
});

test("ticks are round, and not too many", () => {
  assert.deepEqual([[10, 8], [60, 8], [3_600, 8], [1, 8]].map(([length, most]) => tickStep(length, most)), [2, 10, 600, 0.2]);
  assert.equal(tickStep(864_000, 8), 108_000);
  assert.deepEqual([tickText(0.2, 0.2), tickText(5, 1), tickText(90, 30), tickText(3_600, 600)], ["0.2 s", "5 s", "1:30", "60:00"]);
  assert.equal(spanText({ status: "error", start: 1, end: 2.5 }, 9), "error 1.0\u20132.5 s (1.5 s)");
});

test("cleanup leaves no listener, no timer and no node", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval"], now: 0 });
  const page = mount(view);
  page.model.receive(timeline({ running: true }));
  const title = page.$$(".cl-drawing .cl-span title")[2];
  page.end();
  t.mock.timers.tick(5_000);
  assert.match(title.textContent, /6\.0\u201310\.0 s/);
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length], [0, 0, 0]);
});

test("the drawing is saved as a file", (t) => {
  const page = mount(view);
  page.model.receive({ type: "timeline", now: 5, running: false, lanes: [{ name: "live", spans: [{ status: "connected", start: 0, end: 5 }], marks: [] }] });
  const blobs = t.mock.method(URL, "createObjectURL");
  const clicked = [];
  t.mock.method(page.window.HTMLAnchorElement.prototype, "click", function () {
    clicked.push(this.download);
  });
  page.$$("button").find((button) => button.textContent === "Save").click();
  assert.deepEqual(clicked, ["chatlab-timeline.svg"]);
  assert.match(blobs.mock.calls[0].arguments[0].type, /^image\/svg\+xml/);
});
