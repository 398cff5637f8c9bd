import assert from "node:assert/strict";
import { test } from "node:test";
import view from "../../chatlab/widgets/static/listing.js";
import { mount } from "./fake-model.mjs";

const TEXTS = [
  { name: "TOML", text: 'name = "<b>"\u202e', file: "scenario.toml" },
  { name: "Python", text: "scenario = Scenario()", file: "scenario.py" },
];

test("shows nothing until there is a text, then one of them at a time", () => {
  const page = mount(view);
  assert.deepEqual(page.model.sent, [{ type: "ready" }]);
  assert.equal(page.el.hidden, true);
  page.model.receive({ type: "listing", texts: TEXTS });
  assert.equal(page.el.hidden, false);
  assert.equal(page.$("pre").textContent, 'name = "<b>"\u27e8RLO\u27e9');
  assert.equal(page.$("pre").getAttribute("aria-label"), "TOML");
  const [toml, python] = page.$$("[role=group] button");
  page.$("[role=group]").click();
  python.click();
  assert.equal(page.$("pre").textContent, "scenario = Scenario()");
  assert.deepEqual([toml, python].map((tab) => tab.getAttribute("aria-pressed")), ["false", "true"]);
  page.model.receive({ type: "listing", texts: TEXTS.slice(0, 1) });
  assert.equal(page.$("pre").getAttribute("aria-label"), "TOML");
  assert.equal(page.$$("[role=group] button").length, 1);
});

test("copies and saves the text as it is", async () => {
  const page = mount(view);
  page.model.receive({ type: "listing", texts: TEXTS });
  const copied = [];
  Object.defineProperty(page.window.navigator, "clipboard", { value: { writeText: async (text) => copied.push(text) } });
  const [copy, save] = page.$$(".cl-toolbar > button");
  copy.click();
  await new Promise((done) => setTimeout(done));
  assert.deepEqual(copied, [TEXTS[0].text]);
  assert.equal(copy.textContent, "Copied");
  assert.equal(save.title, "scenario.toml");
});

test("cleanup leaves no listener and no node", () => {
  const page = mount(view);
  page.model.receive({ type: "listing", texts: TEXTS });
  page.end();
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length], [0, 0, 0]);
});
