import assert from "node:assert/strict";
import { test } from "node:test";
import { Sequence } from "../../chatlab/widgets/static/feed.js";

test("a sequence is complete when all numbers have arrived, in any order", () => {
  const sequence = new Sequence();
  assert.equal(sequence.complete, false);
  sequence.reached(4);
  assert.equal(sequence.complete, true);
  sequence.saw(6);
  assert.deepEqual([sequence.complete, sequence.last], [false, 4]);
  sequence.saw(5);
  assert.deepEqual([sequence.complete, sequence.last], [true, 6]);
});

test("a number that exists but hasn't arrived leaves a gap", () => {
  const sequence = new Sequence();
  sequence.reached(4);
  sequence.expect(5);
  assert.equal(sequence.complete, false);
  sequence.reached(5);
  assert.equal(sequence.complete, true);
});

test("numbers that arrived during a request count", () => {
  const sequence = new Sequence();
  sequence.saw(8);
  sequence.saw(9);
  sequence.reached(7);
  assert.deepEqual([sequence.complete, sequence.last], [true, 9]);
  sequence.reached(3);
  assert.equal(sequence.last, 9);
});
