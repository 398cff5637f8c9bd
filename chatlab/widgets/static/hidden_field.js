// A field whose secrets stay in Python: typed text is sent there, and comes back without secrets when the field loses focus.
import { element, mount, Scope, tell } from "./view.js";

const ATTRIBUTES = {
  url: { type: "text", inputmode: "url" },
  token: { type: "password" },
  headers: { rows: 2, wrap: "off" },
};

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-typed", scope);
  const kind = model.get("kind");
  const input = element(doc, kind === "headers" ? "textarea" : "input", {
    ...ATTRIBUTES[kind], autocomplete: kind === "token" ? "new-password" : "off", spellcheck: "false", autocapitalize: "off",
    placeholder: model.get("placeholder"), disabled: model.get("disabled"),
  });
  el.dataset.kind = kind;
  el.append(element(doc, "label", {}, element(doc, "span", {}, model.get("description")), input));

  const say = (done) => tell(model, { type: "text", text: input.value, done });
  let typed = false; // since the field got the focus

  /** Sets the text, unless the field has the focus. */
  function show(text) {
    if (doc.activeElement !== input) input.value = text;
  }

  scope.listen(input, "input", () => {
    typed = true;
    say(false);
  });
  scope.listen(input, "blur", () => {
    if (typed) say(true);
    typed = false;
  });
  scope.subscribe(model, "msg:custom", (message) => {
    if (message?.type === "shown") show(message.text);
  });
  scope.subscribe(model, "change:shown", () => {
    if (!typed) show(model.get("shown"));
  });
  const mark = () => el.classList.toggle("chatlab-unused", Boolean(model.get("unused")));
  scope.subscribe(model, "change:unused", mark);
  mark();
  show(model.get("shown"));
  tell(model, { type: "ready" });
  return () => scope.end();
}

export default { render };
