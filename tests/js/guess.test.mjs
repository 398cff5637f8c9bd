import assert from "node:assert/strict";
import { test } from "node:test";
import view, { labelText } from "../../chatlab/widgets/static/guess.js";
import { mount, press } from "./fake-model.mjs";

const asking = (fields) => ({ type: "guess", question: "How long?", options: [], unit: "s", state: "asking", complaint: "", judged: null, ...fields });
const answered = (judged, fields) =>
  asking({ state: "answered", judged: { guess: "10 s", answer: "40 s", right: false, words: "The answer is 4 times your guess.", sizes: [0.25, 1], ...judged }, ...fields });

function shown(page, selector) {
  return page.$$(selector).filter((node) => !node.closest("[hidden]"));
}

test("asks for the question, and sends a guess by Enter or by the button", () => {
  const page = mount(view);
  assert.deepEqual(page.model.sent, [{ type: "ready" }]);
  page.model.receive(asking({ question: "How <b>long</b>?\u202e" }));
  assert.equal(page.$(".cl-question").textContent, "How <b>long</b>?\u27e8RLO\u27e9");
  assert.equal(page.$("label").textContent, "Your guess, in seconds");
  assert.equal(page.$("label input"), page.$("input"));
  page.$("input").value = "10 s";
  press(page, page.$("input"), "a");
  press(page, page.$("input"), "Enter", { isComposing: true });
  press(page, page.$("input"), "Enter");
  page.$(".cl-primary").click();
  assert.deepEqual(page.model.asked("guess"), [{ type: "guess", text: "10 s" }, { type: "guess", text: "10 s" }]);
  assert.equal(page.model.saves, 0);
});

test("a complaint is tied to the field, which keeps its text", () => {
  const page = mount(view);
  page.model.receive(asking({}));
  page.$("input").value = "soon";
  page.model.receive(asking({ complaint: "Give a number of seconds, such as 10, got 'soon'." }));
  const complaint = page.$(".cl-complaint");
  assert.equal(complaint.textContent, "Give a number of seconds, such as 10, got 'soon'.");
  assert.equal(complaint.getAttribute("role"), "status");
  assert.equal(page.$("input").getAttribute("aria-describedby"), complaint.id);
  assert.equal(page.$("input").getAttribute("aria-invalid"), "true");
  assert.equal(page.$("input").value, "soon");
  page.model.receive(asking({ state: "computing" }));
  assert.equal(page.$("input").getAttribute("aria-invalid"), "false");
  assert.equal(page.$("input").disabled, true);
  assert.match(complaint.textContent, /computed/);
});

test("puts the guess and the answer side by side, with bars of their lengths", () => {
  const page = mount(view);
  page.model.receive(answered({}));
  assert.deepEqual(page.$$("dt").map((node) => node.textContent), ["Your guess", "The answer"]);
  assert.deepEqual(page.$$("dd").map((node) => node.textContent), ["10 s", "40 s"]);
  assert.deepEqual(page.$$(".cl-guess-bar").map((node) => node.style.width), ["25%", "100%"]);
  assert.equal(page.$(".cl-guess-words").textContent, "\u2717 The answer is 4 times your guess.");
  assert.equal(page.el.dataset.right, "false");
  page.model.receive(answered({ right: true, words: "Right.", sizes: [1, null] }));
  assert.equal(page.$(".cl-guess-words").textContent, "\u2713 Right.");
  assert.deepEqual(page.$$(".cl-endless").length, 1);
  page.model.receive(answered({ sizes: null }));
  assert.equal(page.$$(".cl-guess-bar").length, 0);
  page.model.receive(asking({}));
  assert.equal(page.el.dataset.right, undefined);
  assert.deepEqual(shown(page, "dl, .cl-link"), []);
});

test("choices are buttons; the chosen one stays marked", () => {
  const page = mount(view);
  const options = ["WebSocket", "<b>SSE"];
  page.model.receive(asking({ options, unit: "" }));
  assert.deepEqual(shown(page, "input"), []);
  const [, sse] = shown(page, "[data-option]");
  assert.equal(page.$("[role=group]").getAttribute("aria-labelledby"), page.$(".cl-question").id);
  page.$("[role=group]").click();
  sse.click();
  assert.deepEqual(page.model.asked("guess"), [{ type: "guess", text: "<b>SSE" }]);
  page.model.receive(asking({ options, state: "computing" }));
  assert.equal(sse.getAttribute("aria-pressed"), "true");
  page.model.receive(answered({ guess: "<b>SSE", answer: "WebSocket", sizes: null }, { options }));
  assert.deepEqual(shown(page, "[data-option]").map((node) => [node.getAttribute("aria-pressed"), node.disabled]), [["false", true], ["true", true]]);
});

test("the focus stays in the question of the view that has sent the guess", () => {
  const page = mount(view);
  page.model.receive(asking({}));
  page.$("input").focus();
  press(page, page.$("input"), "Enter");
  page.model.receive(asking({ state: "computing" }));
  page.$("input").blur(); // as a browser does when a field is disabled
  page.model.receive(answered({}));
  assert.equal(page.window.document.activeElement, page.$(".cl-link"));
  page.$(".cl-link").click();
  assert.deepEqual(page.model.asked("again"), [{ type: "again" }]);
  page.model.receive(asking({}));
  assert.equal(page.window.document.activeElement, page.$("input"));
});

test("an answer takes no focus from elsewhere, nor in another view", () => {
  const page = mount(view);
  page.model.receive(asking({ state: "computing" }));
  page.model.receive(answered({}));
  assert.notEqual(page.window.document.activeElement, page.$(".cl-link"), "another view has asked");
  page.$(".cl-link").click();
  const elsewhere = page.window.document.createElement("button");
  page.window.document.body.append(elsewhere);
  elsewhere.focus();
  page.model.receive(asking({}));
  assert.equal(page.window.document.activeElement, elsewhere);
});

test("without a kernel it says so", () => {
  const page = mount(view);
  page.model.receive(asking({}));
  page.model.disconnected = true;
  page.$(".cl-primary").click();
  assert.match(page.$(".cl-complaint").textContent, /kernel/);
});

test("labels name the unit", () => {
  assert.deepEqual(["", "s", "attempts"].map(labelText), ["Your guess", "Your guess, in seconds", "Your guess, in attempts"]);
  assert.equal(labelText("times"), "Your guess: how many times?");
});

test("cleanup leaves no listener and no node", () => {
  const page = mount(view);
  page.model.receive(answered({}));
  page.end();
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length], [0, 0, 0]);
});
