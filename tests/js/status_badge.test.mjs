import assert from "node:assert/strict";
import { test } from "node:test";
import view, { attemptText, countdownText, transportText } from "../../chatlab/widgets/static/status_badge.js";
import { mount } from "./fake-model.mjs";

const status = (fields) => ({ type: "status", status: "connected", reason: "", attempt: 0, max_attempts: null, retry_in: null, code: null, ...fields });

test("asks for the status, and shows it with reason and code", () => {
  const page = mount(view);
  assert.deepEqual(page.model.sent, [{ type: "ready" }]);
  page.model.receive(status({ status: "error", reason: "403 <b>Forbidden</b>\u202e", code: 1008 }));
  assert.equal(page.$("strong").textContent, "gave up");
  assert.equal(page.el.dataset.status, "error");
  assert.equal(page.$(".cl-reason").textContent, "403 <b>Forbidden</b>\u27e8RLO\u27e9");
  assert.equal(page.el.title, "403 <b>Forbidden</b>\u27e8RLO\u27e9\ncode 1008");
  assert.equal(page.$("b"), null);
});

test("counts down to the next attempt, and then shows that it is trying", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"], now: 1_000_000 });
  const page = mount(view);
  page.model.receive(status({ status: "reconnecting", reason: "connection reset", attempt: 3, max_attempts: 10, retry_in: 4.2 }));
  const live = page.$("[role=status]");
  const countdown = page.$(".cl-countdown");
  assert.equal(live.textContent, "reconnectingattempt 3 of 10");
  assert.equal(countdown.textContent, "next try in 4.2 s");
  t.mock.timers.tick(1_000);
  assert.equal(countdown.textContent, "next try in 3.2 s");
  t.mock.timers.tick(3_300);
  assert.equal(countdown.textContent, "trying\u2026");
  page.model.receive(status({}));
  assert.equal(countdown.textContent, "");
});

test("in slow motion the countdown is slower, and stands while time stands", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"], now: 1_000_000 });
  const page = mount(view);
  const countdown = page.$(".cl-countdown");
  page.model.receive(status({ status: "reconnecting", attempt: 1, retry_in: 4.2, rate: 0.1 }));
  t.mock.timers.tick(10_000);
  assert.equal(countdown.textContent, "next try in 3.2 s");
  page.model.receive(status({ status: "reconnecting", attempt: 1, retry_in: 3.2, rate: 0 }));
  t.mock.timers.tick(100_000);
  assert.equal(countdown.textContent, "next try in 3.2 s");
});

test("the countdown ends with the wait, whatever comes then", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"], now: 1_000_000 });
  const page = mount(view);
  for (const next of ["connected", "connecting", "reconnecting", "disconnected", "error"]) {
    page.model.receive(status({ status: "reconnecting", attempt: 1, retry_in: 5 }));
    page.model.receive(status({ status: next }));
    t.mock.timers.tick(2_000);
    assert.equal(page.$(".cl-countdown").textContent, "", next);
  }
});

test("details on hover: the reason, the code, since when, and what connection it is", () => {
  const page = mount(view);
  page.model.receive(status({ at: new Date(2023, 10, 14, 9, 8, 7).getTime(), details: "WebSocket\nws://x/ws\u202e" }));
  assert.equal(page.el.title, "connected since 09:08:07\nWebSocket\nws://x/ws\u27e8RLO\u27e9");
});

test("the transport in use is named while there is a connection, or one is being made", () => {
  const page = mount(view);
  page.model.receive(status({ transport: "SSE + POST\u202e" }));
  assert.equal(page.$("[role=status]").textContent, "connectedSSE + POST\u27e8RLO\u27e9");
  page.model.receive(status({ status: "disconnected", transport: "SSE + POST" }));
  assert.equal(page.$("[role=status]").textContent, "disconnected");
  assert.equal(transportText({ status: "reconnecting", transport: "WebSocket" }), "WebSocket");
  assert.equal(transportText({ status: "error", transport: "WebSocket" }), "");
  assert.equal(transportText({ status: "connected" }), "");
});

test("the outbox's depth is shown; messages acknowledged at once don't flicker", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"] });
  const page = mount(view);
  const waiting = () => page.$(".cl-waiting").textContent;
  page.model.receive(status({ waiting: 1 }));
  assert.equal(waiting(), "");
  page.model.receive(status({ waiting: 0 }));
  t.mock.timers.tick(5_000);
  assert.equal(waiting(), "");
  page.model.receive(status({ waiting: 2 }));
  t.mock.timers.tick(5_000);
  assert.equal(waiting(), "2 messages wait");
  page.model.receive(status({ status: "reconnecting", waiting: 1_200 }));
  assert.equal(waiting(), "1,200 messages wait");
  page.model.receive(status({ waiting: 1 }));
  assert.equal(waiting(), "1 message waits");
  page.model.receive(status({ waiting: 0 }));
  assert.equal(waiting(), "");
});

test("the countdown isn't read aloud, and nothing else changes while it runs", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"], now: 1_000_000 });
  const page = mount(view);
  page.model.receive(status({ status: "reconnecting", attempt: 1, retry_in: 5 }));
  const live = page.$("[role=status]");
  assert.equal(live.getAttribute("aria-live"), "polite");
  assert.equal(page.$(".cl-countdown").getAttribute("aria-hidden"), "true");
  assert.equal(live.contains(page.$(".cl-countdown")), false);
  let changes = 0;
  const observer = new page.window.MutationObserver((records) => (changes += records.length));
  observer.observe(live, { childList: true, characterData: true, subtree: true });
  t.mock.timers.tick(2_000);
  page.model.receive(status({ status: "reconnecting", attempt: 1, retry_in: 3 }));
  assert.equal(observer.takeRecords().length + changes, 0);
  observer.disconnect();
});

test("an unknown status is shown as text, and highlighted", () => {
  const page = mount(view);
  page.model.receive(status({ status: "<i>odd" }));
  assert.equal(page.$("strong").textContent, "<i>odd");
  assert.equal(page.el.dataset.status, "error");
});

test("numbers as text", () => {
  assert.deepEqual([0, 4.23, 59.9, 75].map(countdownText), ["trying\u2026", "next try in 4.2 s", "next try in 59.9 s", "next try in 1 min 15 s"]);
  assert.equal(attemptText({ attempt: 0, max_attempts: 10 }), "");
  assert.equal(attemptText({ attempt: 2, max_attempts: null }), "attempt 2");
});

test("cleanup leaves no listener, no timer and no node", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setInterval", "setTimeout"] });
  const page = mount(view);
  page.model.receive(status({ status: "reconnecting", retry_in: 5 }));
  const countdown = page.$(".cl-countdown");
  page.end();
  t.mock.timers.tick(3_000);
  assert.equal(countdown.textContent, "next try in 5.0 s");
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length], [0, 0, 0]);
});
