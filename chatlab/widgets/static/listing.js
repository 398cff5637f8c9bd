// A few named texts, of which one is shown, to copy and to save.
import { copyBy } from "./copy.js";
import { offer } from "./download.js";
import { visible, visibleLine } from "./text.js";
import { element, mount, Scope, setText, snapshot } from "./view.js";

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-listing", scope);
  const tabs = element(doc, "span", { role: "group", "aria-label": "Format" });
  const copy = element(doc, "button", { type: "button", class: "cl-button" }, "Copy");
  const save = element(doc, "button", { type: "button", class: "cl-button" }, "Save");
  const text = element(doc, "pre", { tabindex: 0, role: "region" });
  el.append(element(doc, "div", { class: "cl-toolbar" }, tabs, copy, save), text);
  let texts = [];
  let chosen = 0;

  function draw() {
    const one = texts[chosen] ?? { name: "", text: "", file: "" };
    setText(text, visible(one.text));
    text.setAttribute("aria-label", visibleLine(one.name));
    save.title = visibleLine(one.file);
    [...tabs.children].forEach((tab, index) => tab.setAttribute("aria-pressed", String(index === chosen)));
    el.hidden = !texts.length;
  }

  function show(message) {
    texts = message.texts;
    chosen = Math.min(chosen, Math.max(0, texts.length - 1));
    while (tabs.childElementCount > texts.length) tabs.lastChild.remove();
    while (tabs.childElementCount < texts.length) tabs.append(element(doc, "button", { type: "button", class: "cl-button" }));
    [...tabs.children].forEach((tab, index) => setText(tab, visibleLine(texts[index].name)));
    draw();
  }

  scope.listen(tabs, "click", (event) => {
    const index = [...tabs.children].indexOf(event.target);
    if (index < 0) return;
    chosen = index;
    draw();
  });
  scope.listen(copy, "click", () => copyBy(scope, copy, texts[chosen].text));
  scope.listen(save, "click", () => offer(doc, texts[chosen].file, "text/plain", texts[chosen].text));
  draw();
  snapshot({ scope, model, type: "listing", show });
  return () => {
    el.hidden = false;
    scope.end();
  };
}

export default { render };
