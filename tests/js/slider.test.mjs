import assert from "node:assert/strict";
import { test } from "node:test";
import view, { placeOf, typedNumber, valueAt, words } from "../../chatlab/widgets/static/slider.js";
import { mount, press } from "./fake-model.mjs";

const linear = { label: "Heartbeat (s)", low: 1, high: 120, scale: "linear", value: 30, default: 30 };

function move(page, place) {
  const range = page.$("input");
  range.value = String(place);
  range.dispatchEvent(new page.window.Event("input"));
}

const number = (page) => page.$("input[type=text]");

function type(page, text) {
  number(page).focus();
  number(page).value = text;
  number(page).dispatchEvent(new page.window.Event("change"));
}

test("has a name, a value as text, and a position", () => {
  const page = mount(view, linear);
  assert.equal(page.$("label span").textContent, "Heartbeat (s)");
  assert.equal(page.$("label input"), page.$("input"));
  assert.equal(page.$("input").getAttribute("aria-valuetext"), "30");
  assert.equal(number(page).value, "30");
  assert.equal(page.$("input").value, "49");
});

test("sends a chosen value to Python, and follows Python's value", () => {
  const page = mount(view, linear);
  move(page, 200);
  assert.equal(page.model.get("value"), 120);
  assert.equal(page.model.saves, 1);
  assert.equal(number(page).value, "120");
  page.model.change("value", 1);
  assert.equal(page.$("input").value, "0");
  assert.equal(number(page).value, "1");
  page.end();
  assert.equal(page.model.listening, 0);
});

test("a whole number has a step of its own", () => {
  const page = mount(view, { label: "People", low: 2, high: 30, scale: "whole", value: 5, default: 5 });
  assert.equal(page.$("input").getAttribute("max"), "28");
  move(page, 4);
  assert.equal(page.model.get("value"), 6);
});

test("positions and values correspond on either scale", () => {
  for (const traits of [{ low: 0.1, high: 60, scale: "log" }, { low: 0, high: 60, scale: "linear" }]) {
    assert.equal(valueAt(0, traits), traits.low);
    assert.equal(valueAt(1, traits), 60);
    for (const place of [0.25, 0.5, 0.9]) assert.ok(Math.abs(placeOf(valueAt(place, traits), traits) - place) < 0.005);
    assert.equal(placeOf(1000, traits), 1);
    assert.equal(placeOf(traits.low / 2, traits), 0);
  }
  assert.equal(valueAt(0.5, { low: 1, high: 100, scale: "log" }), 10);
  assert.equal(words(100_000), "100,000");
  assert.equal(words(0.0412345), "0.0412345");
});

test("a typed number is taken exactly, though no step of the slider has it", () => {
  const page = mount(view, linear);
  type(page, "33,33");
  assert.equal(page.model.get("value"), 33.33);
  assert.equal(page.model.saves, 1);
  number(page).blur();
  assert.equal(number(page).value, "33.33");
  type(page, "33.33");
  assert.equal(page.model.saves, 1); // nothing new
});

test("a typed text that is no number, or out of range, is reported and changes nothing", () => {
  const page = mount(view, linear);
  for (const text of ["soon", "", "0.5", "1e9", "121", "1.2.3"]) {
    type(page, text);
    assert.equal(page.$("[role=alert]").textContent, "Give a number from 1 to 120.", text);
    assert.equal(number(page).getAttribute("aria-invalid"), "true");
  }
  assert.equal(page.model.saves, 0);
  press(page, number(page), "Escape");
  assert.equal(number(page).value, "30");
  assert.equal(page.$("[role=alert]").textContent, "");
});

test("returns to its default, and only then offers no way back", () => {
  const page = mount(view, linear);
  const reset = page.$("button");
  assert.equal(reset.disabled, true);
  move(page, 0);
  assert.equal(reset.disabled, false);
  assert.equal(reset.getAttribute("aria-label"), "Heartbeat (s): back to 30");
  reset.click();
  assert.equal(page.model.get("value"), 30);
  assert.equal(number(page).value, "30");
  assert.equal(reset.disabled, true);
});

test("numbers are read as people write them", () => {
  const read = { "10": 10, "1,5": 1.5, "1.5": 1.5, "10,000": 10_000, "1,234,567.5": 1_234_567.5, " 2 ": 2, "1 000": 1_000, "-3": -3 };
  for (const [text, value] of Object.entries(read)) assert.equal(typedNumber(text), value, text);
  for (const text of ["", "ten", "10 s", "1e3", "--1", "Infinity"]) assert.ok(Number.isNaN(typedNumber(text)), text);
});
