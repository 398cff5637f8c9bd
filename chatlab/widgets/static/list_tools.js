// Tools of a list of rows: a search field, and a button that removes all rows.
import { element, setText, tell } from "./view.js";

const PAUSE = 150; // milliseconds after the last key until the filter is applied
const CONFIRM = 4_000; // milliseconds in which the second press removes all rows

/** A search field; `changed` is called when a person pauses. */
export class SearchField {
  #pause = () => {};

  constructor({ scope, doc, label, changed }) {
    this.node = element(doc, "input", { type: "search", placeholder: label, "aria-label": label });
    scope.listen(this.node, "input", () => {
      this.#pause();
      this.#pause = scope.after(PAUSE, changed);
    });
  }

  get text() {
    return this.node.value;
  }

  /** Empties the field, without calling `changed`. */
  reset() {
    this.#pause();
    this.node.value = "";
  }
}

/** A button that has Python remove all rows when it is pressed twice; rows in a file stay. */
export function clearButton({ scope, doc, model, what }) {
  const title = `Remove all ${what} from this list`;
  const button = element(doc, "button", { type: "button", class: "cl-link", title, "aria-label": title }, "Clear");
  let sure = false;
  let later = () => {};

  function ask(asked) {
    later();
    sure = asked;
    setText(button, asked ? "Really?" : "Clear");
    button.setAttribute("aria-label", asked ? `Really remove all ${what}? Press again` : title);
    if (asked) later = scope.after(CONFIRM, () => ask(false));
  }

  scope.listen(button, "click", () => {
    if (sure) tell(model, { type: "clear" });
    ask(!sure);
  });
  scope.listen(button, "blur", () => ask(false));
  return button;
}
