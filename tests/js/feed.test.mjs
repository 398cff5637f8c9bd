import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { clock, Scope, Sequence, visible, visibleLine } from "../../chatlab/widgets/static/feed.js";

test("a sequence is complete when all numbers have come, in any order", () => {
  const sequence = new Sequence();
  assert.equal(sequence.complete, false);
  sequence.reached(4);
  assert.equal(sequence.complete, true);
  sequence.saw(6);
  assert.deepEqual([sequence.complete, sequence.last], [false, 4]);
  sequence.saw(5);
  assert.deepEqual([sequence.complete, sequence.last], [true, 6]);
});

test("a number that exists but has not come leaves a gap", () => {
  const sequence = new Sequence();
  sequence.reached(4);
  sequence.expect(5);
  assert.equal(sequence.complete, false);
  sequence.reached(5);
  assert.equal(sequence.complete, true);
});

test("what came while an answer was on its way counts", () => {
  const sequence = new Sequence();
  sequence.saw(8);
  sequence.saw(9);
  sequence.reached(7);
  assert.deepEqual([sequence.complete, sequence.last], [true, 9]);
  sequence.reached(3);
  assert.equal(sequence.last, 9);
});

test("A75: control characters, ANSI escapes and NUL become visible", () => {
  assert.equal(visible("a\u001b[31mred\u0000\u007f\u009b\rb"), "a\u27e8ESC\u27e9[31mred\u27e8NUL\u27e9\u27e8DEL\u27e9\u27e8U+009B\u27e9\u27e8CR\u27e9b");
  assert.equal(visible("one\r\ntwo\n\tthree"), "one\ntwo\n\tthree");
  assert.equal(visibleLine("a\nb\tc\u2028d"), "a\u21b5b c\u21b5d");
  assert.equal(visible(undefined), "");
});

test("A74: overrides, isolates and zero-width characters become visible", () => {
  assert.equal(visible("\u202eevil\u202c"), "\u27e8RLO\u27e9evil\u27e8PDF\u27e9");
  for (const code of [0x202a, 0x202b, 0x202d, 0x2066, 0x2067, 0x2068, 0x2069, 0x200b, 0x2060, 0xfeff]) {
    assert.match(visible(String.fromCodePoint(code)), /^\u27e8[A-Z0-9]+\u27e9$/);
  }
  assert.equal(visible("\u{1f468}\u200d\u{1f469}\u200d\u{1f467}"), "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}"); // joined emoji stay
  assert.equal(visible("x\ud800y"), "x\ufffdy");
});

test("A74: towers of combining marks are capped", () => {
  assert.equal(visible("Z" + "\u0301".repeat(5_000) + "a\u0301"), "Z" + "\u0301".repeat(8) + "a\u0301");
});

test("a time that is none doesn't break a row", () => {
  assert.match(clock(1_700_000_000_123), /^\d\d:\d\d:\d\d$/);
  assert.match(clock(1_700_000_000_123, true), /^\d\d:\d\d:\d\d\.123$/);
  for (const at of [NaN, undefined, 1e300]) assert.equal(clock(at), "--:--:--");
});

test("a scope ends timers and listeners, once", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const scope = new Scope();
  const target = new EventTarget();
  let calls = 0;
  const call = () => (calls += 1);
  scope.after(10, call);
  scope.every(10, call);
  scope.listen(target, "x", call);
  const cancel = scope.after(10, call);
  cancel();
  t.mock.timers.tick(10);
  target.dispatchEvent(new Event("x"));
  assert.equal(calls, 3);
  scope.after(10, call);
  scope.end();
  t.mock.timers.tick(100);
  target.dispatchEvent(new Event("x"));
  assert.equal(calls, 3);
});

test("every view has a test and a render function", async () => {
  const views = (await readdir(new URL("../../chatlab/widgets/static/", import.meta.url))).filter((name) => name.endsWith(".js") && name !== "feed.js");
  const tests = await readdir(new URL(".", import.meta.url));
  assert.ok(views.length >= 4);
  for (const view of views) {
    assert.ok(tests.includes(view.replace(".js", ".test.mjs")), view);
    const { default: widget } = await import(`../../chatlab/widgets/static/${view}`);
    assert.equal(typeof widget.render, "function");
  }
});
