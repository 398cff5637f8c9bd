// A question: a field or buttons for a guess, then the guess beside the answer.
import { visible, visibleLine } from "./text.js";
import { element, mount, Scope, setText, snapshot, tell } from "./view.js";

const COMPUTING = "The answer is being computed\u2026";
const LOST = "The kernel doesn\u2019t answer. If it was restarted, run this cell again.";
const UNITS = { s: "seconds", ms: "milliseconds", min: "minutes", h: "hours", "%": "per cent" };
let forms = 0;

/** Returns the label of the field, with the unit of the answer. */
export function labelText(unit) {
  if (unit === "times") return "Your guess: how many times?";
  return unit ? `Your guess, in ${visibleLine(UNITS[unit] ?? unit)}` : "Your guess";
}

function bar(doc, size) {
  const node = element(doc, "span", { class: "cl-guess-bar", "aria-hidden": "true" });
  if (size === null) node.classList.add("cl-endless");
  else node.style.width = `${100 * size}%`;
  return element(doc, "span", { class: "cl-guess-track" }, node);
}

function row(doc, name, text, size) {
  const value = element(doc, "dd", {}, element(doc, "strong", {}, visibleLine(text)));
  if (size !== undefined) value.append(bar(doc, size));
  return element(doc, "div", {}, element(doc, "dt", {}, name), value);
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-guess", scope);
  const number = ++forms;
  const question = element(doc, "p", { class: "cl-question", id: `cl-question-${number}` });
  const label = element(doc, "span");
  const field = element(doc, "input", { type: "text", autocomplete: "off", "aria-describedby": `cl-complaint-${number}` });
  const submit = element(doc, "button", { type: "button", class: "cl-button cl-primary" }, "Show the answer");
  const typing = element(doc, "div", { class: "cl-guess-form" }, element(doc, "label", {}, label, field), submit);
  const choosing = element(doc, "div", { class: "cl-guess-form", role: "group", "aria-labelledby": question.id });
  const complaint = element(doc, "p", { class: "cl-complaint", id: `cl-complaint-${number}`, role: "status" });
  const both = element(doc, "dl", { class: "cl-guess-both" });
  const words = element(doc, "p", { class: "cl-guess-words", role: "status" });
  const again = element(doc, "button", { type: "button", class: "cl-link" }, "Guess again");
  el.append(question, typing, choosing, complaint, both, words, again);
  let state = "";
  let chosen = null; // the choice that was clicked
  let asked = false; // this view has sent the guess

  function guess(text) {
    asked = true;
    if (!tell(model, { type: "guess", text })) setText(complaint, LOST);
  }

  function offer(options) {
    choosing.replaceChildren(
      ...options.map((option) => element(doc, "button", { type: "button", class: "cl-button", "data-option": option }, visibleLine(option))),
    );
  }

  function show(message) {
    const before = state;
    const moving = el.contains(doc.activeElement) || doc.activeElement === doc.body;
    const { options, judged } = message;
    state = message.state;
    const asking = state === "asking";
    setText(question, visible(message.question));
    setText(label, labelText(message.unit));
    if (choosing.childElementCount !== options.length) offer(options);
    typing.hidden = options.length > 0;
    choosing.hidden = !options.length;
    field.disabled = submit.disabled = !asking;
    for (const button of choosing.children) {
      button.disabled = !asking;
      button.setAttribute("aria-pressed", String(judged ? button.dataset.option === judged.guess : button === chosen && !asking));
    }
    field.setAttribute("aria-invalid", String(asking && message.complaint !== ""));
    setText(complaint, state === "computing" ? COMPUTING : visibleLine(message.complaint));
    complaint.classList.toggle("cl-busy", state === "computing");
    el.dataset.state = state;
    both.replaceChildren();
    both.hidden = again.hidden = !judged;
    if (judged) {
      const sizes = judged.sizes ?? [];
      both.append(row(doc, "Your guess", judged.guess, sizes[0]), row(doc, "The answer", judged.answer, sizes[1]));
      el.dataset.right = String(judged.right);
    } else {
      delete el.dataset.right;
    }
    setText(words, judged ? `${judged.right ? "\u2713" : "\u2717"} ${visibleLine(judged.words)}` : "");
    // A disabled field or button has lost the focus: keep it in the question, in the view that has sent the guess.
    const next = judged ? again : options.length ? choosing.firstChild : field;
    if (asked && moving && state !== "computing" && state !== before) next.focus();
  }

  scope.listen(submit, "click", () => guess(field.value));
  scope.listen(field, "keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) guess(field.value);
  });
  scope.listen(choosing, "click", (event) => {
    const button = event.target.closest?.("[data-option]");
    if (!button) return;
    chosen = button;
    guess(button.dataset.option);
  });
  scope.listen(again, "click", () => {
    asked = true;
    tell(model, { type: "again" });
  });
  both.hidden = again.hidden = typing.hidden = choosing.hidden = true;
  snapshot({ scope, model, type: "guess", show });
  return () => scope.end();
}

export default { render };
