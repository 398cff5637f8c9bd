import assert from "node:assert/strict";
import { test } from "node:test";
import view from "../../chatlab/widgets/static/picture.js";
import { mount } from "./fake-model.mjs";

const PNG = new DataView(new Uint8Array([0x89, 0x50, 0x4e, 0x47]).buffer);

test("shows nothing until there is a picture, then the picture and its text", () => {
  const page = mount(view, { png: new DataView(new ArrayBuffer(0)), alt: "", width: 0 });
  const image = page.$("img");
  assert.equal(image.hidden, true);
  page.model.change("alt", "<b>5 %</b> come back at once");
  page.model.change("width", 500);
  page.model.change("png", PNG);
  assert.equal(image.hidden, false);
  assert.match(image.src, /^blob:/);
  assert.equal(image.alt, "<b>5 %</b> come back at once");
  assert.equal(image.style.maxWidth, "500px");
  assert.equal(page.$("b"), null);
});

test("a plot stays legible in a narrow cell, and can be scrolled by keyboard", () => {
  const page = mount(view, { png: PNG, alt: "one", width: 500 });
  const paper = page.$(".cl-paper");
  assert.equal(page.$("img").style.minWidth, "300px");
  assert.equal(paper.hasAttribute("tabindex"), false);
  Object.defineProperty(paper, "scrollWidth", { value: 300 });
  Object.defineProperty(paper, "clientWidth", { configurable: true, value: 200 });
  page.model.change("png", PNG);
  assert.equal(paper.getAttribute("tabindex"), "0");
  Object.defineProperty(paper, "clientWidth", { value: 300 });
  page.model.change("png", PNG);
  assert.equal(paper.hasAttribute("tabindex"), false);
});

test("releases each picture when the next one comes, and the last at the end", (t) => {
  const revoked = t.mock.method(URL, "revokeObjectURL");
  const page = mount(view, { png: PNG, alt: "one", width: 500 });
  const first = page.$("img").src;
  page.model.change("png", PNG);
  assert.deepEqual(revoked.mock.calls.map((call) => call.arguments[0]), [first]);
  page.end();
  assert.equal(revoked.mock.callCount(), 2);
  assert.equal(page.model.listening, 0);
});

test("the last of many plots is read aloud, the first one isn't", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = mount(view, { png: PNG, alt: "", width: 100 });
  const said = () => page.$("[role=status]").textContent;
  page.model.change("alt", "at first");
  t.mock.timers.tick(5_000);
  assert.equal(said(), "");
  page.model.change("alt", "while it moves");
  t.mock.timers.tick(900);
  page.model.change("alt", "at last");
  t.mock.timers.tick(900);
  assert.equal(said(), "");
  t.mock.timers.tick(100);
  assert.equal(said(), "at last");
});

test("is faded while another plot is computed, and says so", () => {
  const page = mount(view, { png: PNG, alt: "one", width: 100, busy: false });
  assert.equal(page.el.dataset.busy, "false");
  page.model.change("busy", true);
  assert.equal(page.el.dataset.busy, "true");
  assert.equal(page.$(".cl-paper").getAttribute("aria-busy"), "true");
});

test("is saved as the image that is shown", async (t) => {
  const page = mount(view, { png: PNG, alt: "one", width: 100, name: "how-long" });
  const blobs = t.mock.method(URL, "createObjectURL");
  const clicked = [];
  t.mock.method(page.window.HTMLAnchorElement.prototype, "click", function () {
    clicked.push(this.download);
  });
  page.$("button").click();
  assert.deepEqual(clicked, ["how-long.png"]);
  const [blob] = blobs.mock.calls.at(-1).arguments;
  assert.deepEqual([blob.type, blob.size], ["image/png", 4]);
});

test("nothing can be saved before there is a plot", () => {
  const page = mount(view, { png: new DataView(new ArrayBuffer(0)), alt: "", width: 0 });
  assert.equal(page.$("button").hidden, true);
});
