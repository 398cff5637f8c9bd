import assert from "node:assert/strict";
import { test } from "node:test";
import view from "../../chatlab/widgets/static/hidden_field.js";
import { mount } from "./fake-model.mjs";

const state = { description: "URL", shown: "ws://***@h/ws", kind: "url" };

function type(page, text) {
  page.$("input").focus();
  page.$("input").value = text;
  page.$("input").dispatchEvent(new page.window.Event("input"));
}

test("has a name, and shows Python's text", () => {
  const page = mount(view, state);
  assert.equal(page.$("label span").textContent, "URL");
  assert.equal(page.$("label input").value, "ws://***@h/ws");
  page.model.change("shown", "ws://other");
  assert.equal(page.$("input").value, "ws://other");
  page.end();
  assert.equal(page.model.listening, 0);
});

test("typed text is sent to Python, not into the model's state", () => {
  const page = mount(view, state);
  type(page, "ws://ada:secret@h");
  assert.deepEqual(page.model.asked("text"), [{ type: "text", text: "ws://ada:secret@h", done: false }]);
  assert.equal(page.model.saves, 0);
  page.model.change("shown", "ws://***@h");
  assert.equal(page.$("input").value, "ws://ada:secret@h"); // still being typed
  page.$("input").blur();
  assert.equal(page.model.asked("text").at(-1).done, true);
  page.model.receive({ type: "shown", text: "ws://***@h" });
  assert.equal(page.$("input").value, "ws://***@h");
});

test("without a kernel the text stays", () => {
  const page = mount(view, state);
  page.model.disconnected = true;
  type(page, "ws://h");
  page.$("input").blur();
  assert.equal(page.$("input").value, "ws://h");
});

test("leaving an unchanged field sends nothing", () => {
  const page = mount(view, state);
  page.$("input").focus();
  page.$("input").blur();
  assert.deepEqual(page.model.sent, [{ type: "ready" }]);
});

test("a token is masked while it is typed, and no password manager fills it in", () => {
  const page = mount(view, { description: "Token", shown: "***", kind: "token" });
  assert.equal(page.$("input").type, "password");
  assert.equal(page.$("input").getAttribute("autocomplete"), "new-password");
  type(page, "s3cret");
  assert.deepEqual(page.model.asked("text"), [{ type: "text", text: "s3cret", done: false }]);
  assert.equal(page.model.saves, 0);
});

test("a text that isn't in use yet is marked", () => {
  const page = mount(view, { ...state, unused: false });
  page.model.change("unused", true);
  assert.ok(page.el.classList.contains("chatlab-unused"));
  page.model.change("unused", false);
  assert.ok(!page.el.classList.contains("chatlab-unused"));
});

test("headers have lines, and a field that code has filled is disabled", () => {
  const page = mount(view, { description: "Headers", shown: "", kind: "headers", disabled: true, placeholder: "from your code" });
  assert.equal(page.$("label textarea").disabled, true);
  assert.equal(page.$("textarea").placeholder, "from your code");
});
