// Helpers of all views: elements, mounting, and cleanup.

/** Makes an element; children are nodes or text, never markup. */
export function element(doc, tag, attributes = {}, ...children) {
  const node = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Sets a text only if it differs, which avoids layout and repeated reading by screen readers. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The listeners, timers and subscriptions of a view; `end()` removes them all. */
export class Scope {
  #undo = new Set();

  defer(undo) {
    this.#undo.add(undo);
    return () => {
      if (this.#undo.delete(undo)) undo();
    };
  }

  listen(target, type, listener, options) {
    target.addEventListener(type, listener, options);
    return this.defer(() => target.removeEventListener(type, listener, options));
  }

  subscribe(model, event, listener) {
    model.on(event, listener);
    return this.defer(() => model.off(event, listener));
  }

  after(milliseconds, callback) {
    const cancel = this.defer(() => clearTimeout(timer));
    const timer = setTimeout(() => {
      cancel();
      callback();
    }, milliseconds);
    return cancel;
  }

  every(milliseconds, callback) {
    const timer = setInterval(callback, milliseconds);
    return this.defer(() => clearInterval(timer));
  }

  resized(node, callback) {
    const Observer = node.ownerDocument.defaultView?.ResizeObserver;
    if (!Observer) return () => {};
    const observer = new Observer(() => callback());
    observer.observe(node);
    return this.defer(() => observer.disconnect());
  }

  end() {
    for (const undo of this.#undo) undo();
    this.#undo.clear();
  }
}

/** Prepares the element of a view, and keeps the notebook's keyboard shortcuts out of it. */
export function mount(el, name, scope) {
  el.classList.add("chatlab", name);
  el.dataset.lmSuppressShortcuts = "true";
  for (const type of ["keydown", "keypress", "keyup"]) scope.listen(el, type, (event) => event.stopPropagation());
  scope.defer(() => {
    el.classList.remove("chatlab", name);
    el.replaceChildren();
  });
}

/** Sends a message to Python; returns false if there is no kernel. */
export function tell(model, message) {
  try {
    model.send(message);
    return true;
  } catch {
    return false;
  }
}

/** Subscribes to a SnapshotWidget, and requests its state. */
export function snapshot({ scope, model, type, show }) {
  scope.subscribe(model, "msg:custom", (message) => {
    if (message?.type === type) show(message);
  });
  tell(model, { type: "ready" });
}
