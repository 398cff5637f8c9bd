import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { Scope } from "../../chatlab/widgets/static/view.js";

test("a scope ends timers and listeners, once", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const scope = new Scope();
  const target = new EventTarget();
  let calls = 0;
  const call = () => (calls += 1);
  scope.after(10, call);
  scope.every(10, call);
  scope.listen(target, "x", call);
  const cancel = scope.after(10, call);
  cancel();
  t.mock.timers.tick(10);
  target.dispatchEvent(new Event("x"));
  assert.equal(calls, 3);
  scope.after(10, call);
  scope.end();
  t.mock.timers.tick(100);
  target.dispatchEvent(new Event("x"));
  assert.equal(calls, 3);
});

test("every source has a test, except those that the views' tests use; every view has a render function", async () => {
  const sources = (await readdir(new URL("../../chatlab/widgets/static/", import.meta.url))).filter((name) => name.endsWith(".js"));
  const tests = await readdir(new URL(".", import.meta.url));
  const shared = ["compose.js", "message.js", "tail_list.js"];
  assert.ok(sources.length >= 8);
  for (const source of sources.filter((name) => !shared.includes(name))) {
    assert.ok(tests.includes(source.replace(".js", ".test.mjs")), source);
    const { default: widget } = await import(`../../chatlab/widgets/static/${source}`);
    if (widget) assert.equal(typeof widget.render, "function");
  }
});
