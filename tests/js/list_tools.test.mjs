import assert from "node:assert/strict";
import { test } from "node:test";
import { clearButton, SearchField } from "../../chatlab/widgets/static/list_tools.js";
import { mount as start, Scope } from "../../chatlab/widgets/static/view.js";
import { mount } from "./fake-model.mjs";

let changes = 0;
const view = {
  render({ model, el }) {
    const scope = new Scope();
    start(el, "cl-tools", scope);
    const doc = el.ownerDocument;
    el.search = new SearchField({ scope, doc, label: "Search", changed: () => (changes += 1) });
    el.append(el.search.node, clearButton({ scope, doc, model, what: "frames" }));
    return () => scope.end();
  },
};

test("a search is made once a person pauses", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  changes = 0;
  const page = mount(view);
  for (const text of ["a", "ab"]) {
    page.$("input").value = text;
    page.$("input").dispatchEvent(new page.window.Event("input"));
    t.mock.timers.tick(100);
  }
  assert.deepEqual([changes, page.el.search.text], [0, "ab"]);
  t.mock.timers.tick(100);
  assert.equal(changes, 1);
  page.$("input").dispatchEvent(new page.window.Event("input"));
  page.el.search.reset();
  t.mock.timers.tick(1_000);
  assert.deepEqual([changes, page.el.search.text], [1, ""]);
});

test("rows are removed when the button is pressed twice, and not by one press", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = mount(view);
  const button = page.$("button");
  button.click();
  assert.equal(button.textContent, "Really?");
  assert.match(button.getAttribute("aria-label"), /Press again/);
  t.mock.timers.tick(4_000);
  assert.equal(button.textContent, "Clear");
  button.click();
  button.dispatchEvent(new page.window.Event("blur"));
  button.click();
  assert.deepEqual(page.model.sent, []);
  button.click();
  assert.deepEqual(page.model.sent, [{ type: "clear" }]);
  assert.equal(button.textContent, "Clear");
});
