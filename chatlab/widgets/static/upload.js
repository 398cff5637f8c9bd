// Loads a JSON Lines file into a feed: a person chooses or drops it, and Python reads it.
import { visibleLine } from "./text.js";
import { element, setText, tell } from "./view.js";

const UPLOAD_TIMEOUT = 30_000; // milliseconds until an upload without an answer fails
const PART = 250_000; // characters in one message to Python
const LARGEST = 100_000_000; // bytes

/** Splits a text into parts, but never within a surrogate pair. */
export function inParts(text, length = PART) {
  const parts = [];
  let start = 0;
  do {
    const torn = /[\ud800-\udbff]/.test(text[start + length - 1] ?? "") && start + length < text.length;
    const end = start + length + (torn ? 1 : 0);
    parts.push(text.slice(start, end));
    start = end;
  } while (start < text.length);
  return parts;
}

/** A button that loads a file, which may also be dropped on `target`. `node` holds it; call `take(message)` for each "loaded" note. */
export class Upload {
  #view = Math.random().toString(36).slice(2);
  #requests = 0;
  #wanted = null; // { id, name, giveUp }

  constructor({ scope, doc, model, what, target }) {
    this.scope = scope;
    this.model = model;
    this.what = what;
    this.said = element(doc, "span", { role: "status" });
    const title = `Load ${what} from a JSON lines file, without sending them`;
    const button = element(doc, "button", { type: "button", class: "cl-link", title, "aria-label": title }, "Load\u2026");
    const input = element(doc, "input", { type: "file", accept: ".jsonl,.ndjson", hidden: true, "aria-label": title });
    this.node = element(doc, "span", { class: "cl-files" }, this.said, button, input);
    scope.listen(button, "click", () => input.click());
    scope.listen(input, "change", () => {
      if (input.files[0]) this.load(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });
    scope.listen(target, "dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
    scope.listen(target, "drop", (event) => {
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      event.preventDefault();
      this.load(file);
    });
  }

  async load(file) {
    this.#wanted?.giveUp();
    if (file.size > LARGEST) return this.#say(`${file.name} is too large: ${LARGEST / 1_000_000} MB at most.`);
    const id = `${this.#view}-load-${++this.#requests}`;
    const giveUp = this.scope.after(UPLOAD_TIMEOUT, () => this.#giveUp());
    this.#wanted = { id, name: file.name, giveUp };
    this.#say(`Loading ${file.name}\u2026`);
    const parts = inParts(await file.text());
    const told = parts.every((text, part) => tell(this.model, { type: "load", request: id, part, parts: parts.length, text }));
    if (!told && this.#wanted?.id === id) this.#giveUp();
  }

  take({ reply, rows, error }) {
    const wanted = this.#wanted;
    if (reply !== wanted?.id) return;
    wanted.giveUp();
    this.#wanted = null;
    const count = `${rows.toLocaleString("en")} ${rows === 1 ? this.what.slice(0, -1) : this.what}`;
    this.#say(error ? `${wanted.name} wasn\u2019t written by \u201cSave: JSON lines\u201d: ${error}` : `${count} loaded from ${wanted.name}.`);
  }

  #giveUp() {
    this.#wanted.giveUp();
    this.#wanted = null;
    this.#say("The kernel doesn\u2019t answer.");
  }

  #say(text) {
    setText(this.said, visibleLine(text));
  }
}
