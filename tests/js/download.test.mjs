import assert from "node:assert/strict";
import { test } from "node:test";
import chat from "../../chatlab/widgets/static/chat_log.js";
import frames from "../../chatlab/widgets/static/frame_log.js";
import { mount } from "./fake-model.mjs";

/** A page that keeps the files it is given, and whose timers wait to be told. */
function saving(t, view) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = mount(view);
  page.files = [];
  page.window.HTMLAnchorElement.prototype.click = function () {
    page.files.push({ name: this.getAttribute("download"), url: this.getAttribute("href") });
  };
  page.save = (kind) => {
    page.$$(".cl-files button").find((button) => button.textContent === kind).click();
    return page.model.asked("save").at(-1);
  };
  page.part = (request, part, parts, text) => page.model.receive({ type: "file", reply: request.request, part, parts, text });
  return page;
}

/** What a made-up address leads to. */
async function contents({ url }) {
  const blob = (await import("node:buffer")).resolveObjectURL(url);
  return [blob.type, await blob.text()];
}

test("a file arrives in parts, in any order, and is offered once it is complete", async (t) => {
  const page = saving(t, frames);
  const request = page.save("JSON lines");
  assert.equal(request.format, "jsonl");
  page.part(request, 1, 2, '{"id":"f2"}\n');
  page.part({ request: "another view's" }, 0, 1, "not ours");
  assert.equal(page.files.length, 0);
  page.part(request, 0, 2, '{"id":"f1"}\n');
  assert.equal(page.files[0].name, "chatlab-frames.jsonl");
  assert.deepEqual(await contents(page.files[0]), ["application/x-ndjson;charset=utf-8", '{"id":"f1"}\n{"id":"f2"}\n']);
  assert.equal(page.window.document.querySelector("a[download]"), null);
  page.part(request, 0, 1, "late");
  assert.equal(page.files.length, 1);
});

test("the transcript is saved as text too, and asking again forgets the first", async (t) => {
  const page = saving(t, chat);
  const first = page.save("text");
  const second = page.save("text");
  assert.notEqual(first.request, second.request);
  page.part(first, 0, 1, "old");
  page.part(second, 0, 1, "new \u2713");
  assert.deepEqual(page.files.map(({ name }) => name), ["chatlab-transcript.txt"]);
  assert.deepEqual(await contents(page.files[0]), ["text/plain;charset=utf-8", "new \u2713"]);
});

test("if no further part arrives, it says so and allows another try", (t) => {
  const page = saving(t, chat);
  const request = page.save("text");
  t.mock.timers.tick(14_000);
  page.part(request, 0, 2, "a");
  t.mock.timers.tick(14_000);
  assert.equal(page.$(".cl-files [role=status]").textContent, "");
  t.mock.timers.tick(1_000);
  assert.match(page.$(".cl-files [role=status]").textContent, /doesn\u2019t answer/);
  page.part(request, 1, 2, "b");
  assert.equal(page.files.length, 0);
  page.part(page.save("text"), 0, 1, "again");
  assert.equal(page.files.length, 1);
  assert.equal(page.$(".cl-files [role=status]").textContent, "");
});

test("without a kernel, it says so at once", (t) => {
  const page = saving(t, chat);
  page.model.disconnected = true;
  page.$("[aria-label='Save all messages as text']").click();
  assert.match(page.$(".cl-files [role=status]").textContent, /doesn\u2019t answer/);
  page.model.disconnected = false;
  page.part(page.save("text"), 0, 1, "again");
  assert.equal(page.files.length, 1);
});

test("the buttons say what they save", () => {
  const names = mount(frames).$$(".cl-save button").slice(0, 2).map((button) => button.getAttribute("aria-label"));
  assert.deepEqual(names, ["Save all frames as text", "Save all frames as JSON lines"]);
});
