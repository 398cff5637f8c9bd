// A field for a URL: typed text is sent to Python, which returns it without secrets when the field loses focus.
import { element, mount, Scope, tell } from "./view.js";

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-url", scope);
  const input = element(doc, "input", { type: "text", inputmode: "url", autocomplete: "off", spellcheck: "false" });
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
  show(model.get("shown"));
  tell(model, { type: "ready" });
  return () => scope.end();
}

export default { render };
