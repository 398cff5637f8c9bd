import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, visible, visibleLine } from "../../chatlab/widgets/static/text.js";

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
