// A plot: a PNG with a text alternative, which can be saved. It is faded while another one is being computed.
import { offer } from "./download.js";
import { element, mount, Scope, setText } from "./view.js";

const LEGIBLE = 0.6; // share of its own width; a smaller plot is illegible
const QUIET = 1_000; // milliseconds without another plot until screen readers read its text

function render({ model, el }) {
  const scope = new Scope();
  mount(el, "cl-picture", scope);
  const image = element(el.ownerDocument, "img");
  const said = element(el.ownerDocument, "div", { class: "cl-sr", role: "status" });
  const paper = element(el.ownerDocument, "div", { class: "cl-paper", role: "group", "aria-label": "Plot" }, image);
  const save = element(el.ownerDocument, "button", { type: "button", class: "cl-link", title: "Save the plot as an image (PNG)" }, "Save the plot");
  el.append(paper, save, said);
  let url = null;

  function forget() {
    if (url !== null) URL.revokeObjectURL(url);
    url = null;
  }

  function show() {
    const png = model.get("png");
    image.hidden = save.hidden = !png?.byteLength;
    if (image.hidden) return;
    forget();
    url = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    image.src = url;
    image.style.maxWidth = `${model.get("width")}px`;
    image.style.minWidth = `${LEGIBLE * model.get("width")}px`;
    fit();
  }

  /** Lets the keyboard scroll a plot that is wider than its cell. */
  function fit() {
    if (paper.scrollWidth > paper.clientWidth) paper.setAttribute("tabindex", "0");
    else paper.removeAttribute("tabindex");
  }

  let wait = () => {};

  function describe() {
    image.alt = model.get("alt");
  }

  /** Has screen readers read the text of the last plot only: a moving slider makes many. */
  function tell() {
    const first = !image.alt;
    describe();
    wait();
    if (!first) wait = scope.after(QUIET, () => setText(said, image.alt));
  }

  function showBusy() {
    const busy = Boolean(model.get("busy"));
    el.dataset.busy = String(busy);
    paper.setAttribute("aria-busy", String(busy));
  }

  scope.listen(save, "click", () => offer(el.ownerDocument, `${model.get("name")}.png`, "image/png", model.get("png")));
  scope.subscribe(model, "change:busy", showBusy);
  showBusy();
  scope.defer(forget);
  scope.resized(el, fit);
  scope.subscribe(model, "change:png", show);
  scope.subscribe(model, "change:alt", tell);
  describe();
  show();
  return () => scope.end();
}

export default { render };
