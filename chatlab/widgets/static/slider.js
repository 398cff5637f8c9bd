// A slider with an accessible name: a range input with equal steps or equal ratios, and its value as text.
import { element, mount, Scope, setText } from "./view.js";

const STEPS = 200; // between the ends; whole numbers have one each

/** Returns the position of a value on the slider, from 0 to 1. */
export function placeOf(value, { low, high, scale }) {
  const ratio = scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.min(1, Math.max(0, ratio));
}

/** Returns the value at a position from 0 to 1, rounded to the three digits shown; the ends are exact. */
export function valueAt(place, { low, high, scale }) {
  if (place <= 0) return low;
  if (place >= 1) return high;
  if (scale === "whole") return Math.round(low + place * (high - low));
  const value = scale === "log" ? low * (high / low) ** place : low + place * (high - low);
  return Number(value.toPrecision(3));
}

export function words(value) {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-slider", scope);
  const traits = Object.fromEntries(["low", "high", "scale"].map((name) => [name, model.get(name)]));
  const steps = traits.scale === "whole" ? traits.high - traits.low : STEPS;
  const range = element(doc, "input", { type: "range", min: 0, max: steps, step: 1 });
  const output = element(doc, "output", { "aria-hidden": "true" });
  const label = element(doc, "label", {}, element(doc, "span", {}, model.get("label")), range);
  el.append(label, output);

  function say(value) {
    setText(output, words(value));
    range.setAttribute("aria-valuetext", words(value));
  }

  function show() {
    const value = model.get("value");
    range.value = String(Math.round(placeOf(value, traits) * steps));
    say(value);
  }

  scope.listen(range, "input", () => {
    const value = valueAt(Number(range.value) / steps, traits);
    say(value);
    model.set("value", value);
    model.save_changes();
  });
  scope.subscribe(model, "change:value", () => {
    if (valueAt(Number(range.value) / steps, traits) !== model.get("value")) show();
  });
  show();
  return () => scope.end();
}

export default { render };
