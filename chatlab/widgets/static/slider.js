// A slider with an accessible name: a range input with equal steps or equal ratios, a field for its value, and a way back.
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
  return value.toLocaleString("en-US", { maximumSignificantDigits: 6 });
}

/** Returns the number that a person typed, with a point or a comma ("1,5", "10,000"); NaN if it is none. */
export function typedNumber(text) {
  const trimmed = text.replace(/[\s\u2009\u202f]/g, "");
  if (!/^[+-]?[\d.,]+$/.test(trimmed)) return NaN;
  const whole = /^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(trimmed);
  return Number(whole ? trimmed.replaceAll(",", "") : trimmed.replace(",", "."));
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-slider", scope);
  const traits = Object.fromEntries(["low", "high", "scale", "default"].map((name) => [name, model.get(name)]));
  const { low, high } = traits;
  const name = model.get("label");
  const steps = traits.scale === "whole" ? high - low : STEPS;
  const range = element(doc, "input", { type: "range", min: 0, max: steps, step: 1 });
  const limits = `a number from ${words(low)} to ${words(high)}`;
  const typed = element(doc, "input", { type: "text", inputmode: "decimal", size: 7, "aria-label": `${name}, as a number`, title: `Type ${limits}` });
  const reset = element(doc, "button", { type: "button", class: "cl-default", "aria-label": `${name}: back to ${words(traits.default)}`, title: `Back to ${words(traits.default)}` }, "\u21ba");
  const label = element(doc, "label", {}, element(doc, "span", {}, name), range);
  const error = element(doc, "span", { class: "cl-slip", role: "alert" });
  el.append(label, typed, reset, error);

  function say(value) {
    if (doc.activeElement !== typed) typed.value = words(value);
    range.setAttribute("aria-valuetext", words(value));
    reset.classList.toggle("cl-idle", value === traits.default);
    reset.disabled = value === traits.default;
  }

  function show() {
    const value = model.get("value");
    range.value = String(Math.round(placeOf(value, traits) * steps));
    say(value);
  }

  function choose(value) {
    model.set("value", value);
    model.save_changes();
  }

  /** Takes the typed number, at most that of an end; what is no number is said, and stays to be mended. */
  function take() {
    let value = typedNumber(typed.value);
    if (traits.scale === "whole") value = Math.round(value);
    const wrong = Number.isNaN(value) || value < low || value > high;
    setText(error, wrong ? `Give ${limits}.` : "");
    typed.setAttribute("aria-invalid", String(wrong));
    if (wrong || value === model.get("value")) return;
    choose(value);
    show();
  }

  /** Shows the present value again. */
  function leave() {
    setText(error, "");
    typed.removeAttribute("aria-invalid");
    typed.value = words(model.get("value"));
  }

  scope.listen(range, "input", () => {
    const value = valueAt(Number(range.value) / steps, traits);
    leave();
    say(value);
    typed.value = words(value);
    choose(value);
  });
  scope.listen(typed, "change", take);
  scope.listen(typed, "blur", leave);
  scope.listen(typed, "keydown", (event) => {
    if (event.key === "Escape") leave();
  });
  scope.listen(reset, "click", () => {
    choose(traits.default);
    leave();
    show();
    range.focus();
  });
  scope.subscribe(model, "change:value", () => {
    if (valueAt(Number(range.value) / steps, traits) !== model.get("value")) show();
  });
  show();
  return () => scope.end();
}

export default { render };
