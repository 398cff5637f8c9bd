import assert from "node:assert/strict";
import { test } from "node:test";
import view, { placeOf, valueAt, words } from "../../chatlab/widgets/static/slider.js";
import { mount } from "./fake-model.mjs";

const linear = { label: "Heartbeat (s)", low: 1, high: 120, scale: "linear", value: 30 };

function move(page, place) {
  const range = page.$("input");
  range.value = String(place);
  range.dispatchEvent(new page.window.Event("input"));
}

test("has a name, a value as text, and a position", () => {
  const page = mount(view, linear);
  assert.equal(page.$("label span").textContent, "Heartbeat (s)");
  assert.equal(page.$("label input"), page.$("input"));
  assert.equal(page.$("input").getAttribute("aria-valuetext"), "30");
  assert.equal(page.$("output").textContent, "30");
  assert.equal(page.$("input").value, "49");
});

test("sends a chosen value to Python, and follows Python's value", () => {
  const page = mount(view, linear);
  move(page, 200);
  assert.equal(page.model.get("value"), 120);
  assert.equal(page.model.saves, 1);
  assert.equal(page.$("output").textContent, "120");
  page.model.change("value", 1);
  assert.equal(page.$("input").value, "0");
  assert.equal(page.$("output").textContent, "1");
  page.end();
  assert.equal(page.model.listening, 0);
});

test("a whole number has a step of its own", () => {
  const page = mount(view, { label: "People", low: 2, high: 30, scale: "whole", value: 5 });
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
  assert.equal(words(0.0412345), "0.0412");
});
