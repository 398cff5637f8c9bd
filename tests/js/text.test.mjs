import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { clock, day, setTime, visible, visibleLine } from "../../chatlab/widgets/static/text.js";

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

test("A74: of all characters just those of the table, which Python's test reads too, are made visible", () => {
  const { both } = JSON.parse(readFileSync(new URL("./hidden.json", import.meta.url), "utf8"));
  const wrong = [];
  const step = process.env.CHATLAB_TIER === "proof" ? 1 : 89; // as in tests/sizes.py
  const known = Object.keys(both).flatMap((hex) => [-1, 0, 1].map((more) => Math.max(0, parseInt(hex, 16) + more)));
  for (const code of [...known, ...Array.from({ length: Math.ceil(0x110000 / step) }, (_, n) => n * step)]) {
    const name = both[code.toString(16).toUpperCase().padStart(4, "0")];
    const shown = visible(String.fromCodePoint(code));
    const surrogate = code >= 0xd800 && code < 0xe000;
    if (shown !== (name ? `\u27e8${name}\u27e9` : surrogate ? "\ufffd" : String.fromCodePoint(code))) wrong.push([code, shown]);
  }
  assert.deepEqual(wrong, []);
});

test("A74: towers of combining marks are capped", () => {
  assert.equal(visible("Z" + "\u0301".repeat(5_000) + "a\u0301"), "Z" + "\u0301".repeat(8) + "a\u0301");
});

test("an invalid time doesn't break a row", () => {
  assert.match(clock(1_700_000_000_123), /^\d\d:\d\d:\d\d$/);
  assert.match(clock(1_700_000_000_123, true), /^\d\d:\d\d:\d\d\.123$/);
  for (const at of [NaN, undefined, 1e300]) assert.equal(clock(at), "--:--:--");
});

test("a time is local, and its tooltip has UTC too", () => {
  const before = process.env.TZ;
  const at = Date.UTC(2024, 1, 29, 20, 15, 7, 9);
  for (const [zone, date, time] of [["UTC", "2024-02-29", "20:15:07"], ["Asia/Kolkata", "2024-03-01", "01:45:07"], ["America/Lima", "2024-02-29", "15:15:07"]]) {
    process.env.TZ = zone;
    assert.equal(`${day(at)} ${clock(at)}`, `${date} ${time}`);
    const node = { setAttribute(name, value) { this[name] = value; } };
    setTime(node, at);
    assert.deepEqual([node.datetime, node.title, node.textContent], ["2024-02-29T20:15:07.009Z", `${date} ${time}.009 (20:15:07 UTC)`, time]);
  }
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});
