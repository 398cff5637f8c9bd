import assert from "node:assert/strict";
import { test } from "node:test";
import { copyBy } from "../../chatlab/widgets/static/copy.js";
import { Scope } from "../../chatlab/widgets/static/view.js";
import { mount } from "./fake-model.mjs";

const soon = () => new Promise((done) => setImmediate(done));

function copying(clipboard) {
  const page = mount({ render: () => () => {} });
  const button = page.window.document.createElement("button");
  page.el.append(button);
  const navigator = { value: clipboard && { writeText: clipboard }, configurable: true };
  Object.defineProperty(page.window.navigator, "clipboard", navigator);
  const scope = new Scope();
  copyBy(scope, button, "<b>text");
  return { page, button, scope };
}

test("says for a while that the text was copied", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const copied = [];
  const { button } = copying(async (text) => copied.push(text));
  await soon();
  assert.deepEqual(copied, ["<b>text"]);
  assert.equal(button.textContent, "Copied");
  t.mock.timers.tick(3_000);
  assert.equal(button.textContent, "Copy");
});

test("says that it wasn't allowed", async () => {
  const { button, scope } = copying(async () => Promise.reject(new Error("no")));
  await soon();
  assert.equal(button.textContent, "Not allowed");
  scope.end();
});

test("a page without the Clipboard API copies by a selected field, which is removed", async () => {
  const { page, button, scope } = copying(undefined);
  await soon();
  assert.equal(page.window.document.querySelector("textarea"), null);
  assert.match(button.textContent, /Copied|Not allowed/);
  scope.end();
});
