import assert from "node:assert/strict";
import { test } from "node:test";
import chat from "../../chatlab/widgets/static/chat_log.js";
import frames from "../../chatlab/widgets/static/frame_log.js";
import { inParts } from "../../chatlab/widgets/static/upload.js";
import { mount } from "./fake-model.mjs";

/** A page, and a way to drop a file on it. */
function loading(view) {
  const page = mount(view);
  page.said = () => page.$$(".cl-files [role=status]").at(-1).textContent;
  page.drop = async (file) => {
    const event = new page.window.Event("drop", { bubbles: true, cancelable: true });
    Object.defineProperty(event, "dataTransfer", { value: { files: [file], types: ["Files"] } });
    page.$(".cl-scroll").dispatchEvent(event);
    await new Promise((resolve) => setImmediate(resolve));
    return event;
  };
  page.loaded = (fields) => page.model.receive({ type: "loaded", reply: page.model.asked("load").at(-1).request, rows: 0, error: "", ...fields });
  return page;
}

const file = (text, name = "talk.jsonl") => ({ name, size: text.length, text: async () => text });

test("a dropped file is sent to Python, and the result is shown", async () => {
  const page = loading(chat);
  const event = await page.drop(file('{"id":"m1"}\n'));
  assert.equal(event.defaultPrevented, true);
  const [{ text, part, parts }] = page.model.asked("load");
  assert.deepEqual([text, part, parts], ['{"id":"m1"}\n', 0, 1]);
  assert.equal(page.said(), "Loading talk.jsonl\u2026");
  page.model.receive({ type: "loaded", reply: "another view's", rows: 7, error: "" });
  assert.equal(page.said(), "Loading talk.jsonl\u2026");
  page.loaded({ rows: 1_200 });
  assert.equal(page.said(), "1,200 messages loaded from talk.jsonl.");
});

test("the button opens the choice of files, and the same file can be chosen twice", async () => {
  const page = loading(frames);
  const input = page.$("input[type=file]");
  let opened = 0;
  input.click = () => (opened += 1);
  page.$$("button").find((button) => button.textContent === "Load\u2026").click();
  assert.equal(opened, 1);
  Object.defineProperty(input, "files", { value: [file("{}", "frames.jsonl")] });
  input.dispatchEvent(new page.window.Event("change"));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(page.model.asked("load").length, 1);
  assert.equal(input.value, "");
  page.loaded({ rows: 1 });
  assert.equal(page.said(), "1 frame loaded from frames.jsonl.");
});

test("an invalid file is reported, with its name and the error as text in one line", async () => {
  const page = loading(frames);
  await page.drop(file("no", "<b>\u202e.txt"));
  page.loaded({ error: "line 1: JSON is malformed" });
  assert.equal(page.said(), "<b>\u27e8RLO\u27e9.txt wasn\u2019t written by \u201cSave: JSON lines\u201d: line 1: JSON is malformed");
  assert.equal(page.$("b"), null);
});

test("a file that is too large never leaves the page", async () => {
  const page = loading(chat);
  await page.drop({ ...file(""), size: 2e8 });
  assert.equal(page.model.asked("load").length, 0);
  assert.match(page.said(), /too large: 100 MB at most/);
});

test("when the kernel doesn\u2019t answer, it says so", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = loading(chat);
  await page.drop(file("{}"));
  t.mock.timers.tick(30_000);
  assert.equal(page.said(), "The kernel doesn\u2019t answer.");
  page.loaded({ rows: 1 });
  assert.equal(page.said(), "The kernel doesn\u2019t answer.");
});

test("without a kernel, it says so at once", async () => {
  const page = loading(chat);
  page.model.disconnected = true;
  await page.drop(file("x"));
  assert.equal(page.said(), "The kernel doesn\u2019t answer.");
});

test("a dropped object that is not a file is left to the page", async () => {
  const page = loading(chat);
  const event = new page.window.Event("drop", { bubbles: true, cancelable: true });
  Object.defineProperty(event, "dataTransfer", { value: { files: [], types: ["text/plain"] } });
  page.$(".cl-scroll").dispatchEvent(event);
  assert.equal(event.defaultPrevented, false);
  assert.equal(page.model.asked("load").length, 0);
});

test("parts don't split surrogate pairs, and join to the whole text", () => {
  for (const text of ["", "a", "ab\u{1f600}c", "\u{1f600}".repeat(9), `x${"\u{1f600}".repeat(9)}`, "\ud800\ud800\ud800\ud800"]) {
    for (const length of [1, 2, 3, 100]) {
      const parts = inParts(text, length);
      assert.equal(parts.join(""), text);
      assert.ok(parts.length === 1 || parts.every((part) => part.length <= length + 1 && part));
      if (text.isWellFormed()) assert.ok(parts.every((part) => part.isWellFormed()), JSON.stringify(parts));
    }
  }
});
