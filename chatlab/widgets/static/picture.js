// A plot: a PNG with a text that says the same to those who don't see it.
import { element, mount, Scope } from "./view.js";

function render({ model, el }) {
  const scope = new Scope();
  mount(el, "cl-picture", scope);
  const image = element(el.ownerDocument, "img");
  el.append(image);
  let url = null;

  function forget() {
    if (url !== null) URL.revokeObjectURL(url);
    url = null;
  }

  function show() {
    const png = model.get("png");
    image.hidden = !png?.byteLength;
    if (image.hidden) return;
    forget();
    url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    image.src = url;
    image.style.maxWidth = `${model.get("width")}px`;
  }

  function describe() {
    image.alt = model.get("alt");
  }

  scope.defer(forget);
  scope.subscribe(model, "change:png", show);
  scope.subscribe(model, "change:alt", describe);
  describe();
  show();
  return () => scope.end();
}

export default { render };
