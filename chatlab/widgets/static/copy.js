// Copying a text to the clipboard.
import { element, setText } from "./view.js";

const COPIED = 2_000; // milliseconds that "Copied" is shown

async function write(doc, text) {
  const clipboard = doc.defaultView?.navigator?.clipboard;
  if (clipboard) return clipboard.writeText(text);
  const area = element(doc, "textarea", { class: "cl-sr" }); // pages without TLS have no Clipboard API
  area.value = text;
  doc.body.append(area);
  try {
    area.select();
    doc.execCommand("copy");
  } finally {
    area.remove();
  }
}

/** Copies a text, and says on the button for a while whether that worked. */
export function copyBy(scope, button, text) {
  const say = (words) => {
    setText(button, words);
    scope.after(COPIED, () => setText(button, "Copy"));
  };
  write(button.ownerDocument, text).then(
    () => say("Copied"),
    () => say("Not allowed"),
  );
}
