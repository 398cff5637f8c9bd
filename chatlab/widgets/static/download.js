// Saves all rows of a feed as a file: Python sends them, and the browser downloads them.
import { element, setText, tell } from "./view.js";

const DOWNLOAD_TIMEOUT = 15_000; // milliseconds without another part until a download fails
const KINDS = { txt: ["text", "text/plain"], jsonl: ["JSON lines", "application/x-ndjson"] };

/** Makes the browser download a text, or bytes, as a file. */
export function offer(doc, name, type, content) {
  const charset = typeof content === "string" ? ";charset=utf-8" : "";
  const url = URL.createObjectURL(new Blob([content], { type: `${type}${charset}` }));
  const link = element(doc, "a", { href: url, download: name, hidden: true });
  doc.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_TIMEOUT); // the click only starts the download
}

/** Buttons that save a feed's rows as `name`.txt and .jsonl. `node` holds them; call `take(message)` for each "file" note. */
export class Download {
  #view = Math.random().toString(36).slice(2);
  #requests = 0;
  #wanted = null; // { id, format, parts, giveUp }

  constructor({ scope, doc, model, name, what }) {
    this.scope = scope;
    this.doc = doc;
    this.model = model;
    this.name = name;
    this.said = element(doc, "span", { role: "status" });
    const buttons = Object.entries(KINDS).map(([format, [label]]) => {
      const title = `Save all ${what} as ${label}`;
      const button = element(doc, "button", { type: "button", class: "cl-link", title, "aria-label": title }, label);
      scope.listen(button, "click", () => this.#ask(format));
      return button;
    });
    this.node = element(doc, "span", { class: "cl-files" }, this.said, "Save: ", ...buttons);
  }

  #ask(format) {
    this.#wanted?.giveUp();
    const id = `${this.#view}-save-${++this.#requests}`;
    this.#wanted = { id, format, parts: new Map(), giveUp: () => {} };
    this.#wait();
    setText(this.said, "");
    if (!tell(this.model, { type: "save", request: id, format })) this.#giveUp();
  }

  #wait() {
    this.#wanted.giveUp();
    this.#wanted.giveUp = this.scope.after(DOWNLOAD_TIMEOUT, () => this.#giveUp());
  }

  #giveUp() {
    this.#wanted.giveUp();
    this.#wanted = null;
    setText(this.said, "The kernel doesn\u2019t answer. ");
  }

  take({ reply, part, parts, text }) {
    const wanted = this.#wanted;
    if (reply !== wanted?.id) return;
    wanted.parts.set(part, text);
    this.#wait();
    if (wanted.parts.size < parts) return;
    wanted.giveUp();
    this.#wanted = null;
    const whole = Array.from({ length: parts }, (_, index) => wanted.parts.get(index)).join("");
    offer(this.doc, `${this.name}.${wanted.format}`, KINDS[wanted.format][1], whole);
  }
}
