// Runs the tests of all files in one process: a process for each would load happy-dom again.
// Files named as arguments are run alone: node all.mjs feed.test.mjs
import { readdirSync } from "node:fs";

const here = new URL(".", import.meta.url);
const named = process.argv.slice(2);
const files = named.length ? named : readdirSync(here).filter((name) => name.endsWith(".test.mjs")).sort();
for (const file of files) await import(new URL(file, here));
