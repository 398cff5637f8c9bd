// What every view needs: elements, a mounting, clean endings.

/** Makes an element; children are nodes or text, never markup. */
export function element(doc, tag, attributes = {}, ...children) {
  const node = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Sets a text only if it changed, so that nothing is laid out or read aloud again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whatever a view starts; `end()` undoes all of it. */
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

/** Prepares the element of a view. JupyterLab's and the classic notebook's shortcuts must not eat keystrokes here. */
export function mount(el, name, scope) {
  el.classList.add("chatlab", name);
  el.dataset.lmSuppressShortcuts = "true";
  for (const type of ["keydown", "keypress", "keyup"]) scope.listen(el, type, (event) => event.stopPropagation());
  scope.defer(() => {
    el.classList.remove("chatlab", name);
    el.replaceChildren();
  });
}

/** Says something to Python; false where there is no kernel that could hear it. */
export function tell(model, message) {
  try {
    model.send(message);
    return true;
  } catch {
    return false;
  }
}

/** Follows a widget that shows one latest state, and asks for it. */
export function snapshot({ scope, model, type, show }) {
  scope.subscribe(model, "msg:custom", (message) => {
    if (message?.type === type) show(message);
  });
  tell(model, { type: "ready" });
}
