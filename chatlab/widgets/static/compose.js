// The compose box of the chat view.
import { element, tell } from "./view.js";

const TYPING_EVERY = 3_000; // milliseconds between two typing notices
const RECALLED = 50; // sent texts that the arrow keys recall
export const NO_KERNEL = "Not sent: the kernel doesn\u2019t answer. If it was restarted, copy your text and run the cell again.";

/** Returns a form that sends messages and typing notices; `complain` shows why it can't. */
export function compose({ scope, doc, model, complain }) {
  const input = element(doc, "textarea", { rows: 1, "aria-label": "Message", placeholder: "Message \u2013 Enter sends, Shift+Enter starts a line", dir: "auto" });
  const button = element(doc, "button", { type: "submit", class: "cl-button cl-primary" }, "Send");
  const form = element(doc, "form", { class: "cl-compose" }, input, button);
  let noticed = -Infinity;
  const sentTexts = []; // texts sent from this view, for recall
  let place = 0;

  /** Recalls the previous or next sent text, unless the person has typed something else. */
  function recall(step) {
    const isEnd = place + step === sentTexts.length;
    if (input.value !== (sentTexts[place] ?? "") || !(place + step in sentTexts || isEnd)) return false;
    place += step;
    input.value = sentTexts[place] ?? "";
    fit();
    return true;
  }

  function fit() {
    input.style.height = "auto";
    if (input.scrollHeight) input.style.height = `${Math.min(input.scrollHeight + 2, 160)}px`;
  }

  function submit() {
    const text = input.value.trimEnd();
    if (!text.trim()) return;
    const told = tell(model, { type: "send", text });
    complain(told ? "" : NO_KERNEL);
    if (!told) return;
    sentTexts.push(text);
    if (sentTexts.length > RECALLED) sentTexts.shift();
    place = sentTexts.length;
    input.value = "";
    noticed = -Infinity;
    fit();
  }

  scope.listen(form, "submit", (event) => {
    event.preventDefault();
    submit();
    input.focus();
  });
  scope.listen(input, "keydown", (event) => {
    const composing = event.isComposing || event.keyCode === 229; // an input method's Enter chooses a word
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && !composing && recall(step)) event.preventDefault();
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
  scope.listen(input, "input", () => {
    fit();
    if (!input.value.trim() || Date.now() - noticed < TYPING_EVERY) return;
    noticed = Date.now();
    tell(model, { type: "typing" });
  });
  return form;
}
