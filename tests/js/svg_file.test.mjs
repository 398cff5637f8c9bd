import assert from "node:assert/strict";
import { test } from "node:test";
import { plainColour, svgText } from "../../chatlab/widgets/static/svg_file.js";
import { mount } from "./fake-model.mjs";

test("colours that a browser has mixed are written as other programs know them", () => {
  assert.equal(plainColour("color(srgb 1 0.5 0)"), "rgb(255,128,0)");
  assert.equal(plainColour("color(srgb 0 0 1 / 0.25)"), "rgba(0,0,255,0.25)");
  assert.equal(plainColour("rgb(1, 2, 3)"), "rgb(1, 2, 3)");
});

test("a drawing is a file of its own: its size, its ground, and the style sheet's colours; the page's stays", () => {
  const page = mount({
    render({ el }) {
      el.innerHTML = '<style>rect { fill: rgb(1, 2, 3); }</style><svg class="here" tabindex="0"><rect width="5"></rect><text>a &lt; b</text></svg>';
      return () => {};
    },
  });
  const text = svgText(page.$("svg"), 640, 80, "color(srgb 1 1 1)");
  assert.match(text, /xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  assert.match(text, /viewBox="0 0 640 80"/);
  assert.match(text, /fill: rgb\(1, 2, 3\)/);
  assert.match(text, /a &lt; b/);
  assert.doesNotMatch(text, /tabindex|class="here"/);
  assert.equal(page.$("svg").getAttribute("class"), "here");
  assert.equal(page.$("rect").getAttribute("style"), null);
});
