// The connection's status: what it is, why, and when the next attempt comes.
import { visibleLine } from "./text.js";
import { element, mount, Scope, setText, snapshot } from "./view.js";

const TICK = 100; // milliseconds between two looks at the countdown
const LABELS = {
  disconnected: "disconnected",
  connecting: "connecting\u2026",
  connected: "connected",
  reconnecting: "reconnecting",
  error: "gave up",
};

/** Seconds until the next attempt in words. */
export function countdownText(seconds) {
  if (seconds <= 0) return "trying\u2026";
  if (seconds < 60) return `next try in ${seconds.toFixed(1)} s`;
  return `next try in ${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

/** Which attempt it is, or nothing on the first one. */
export function attemptText({ attempt, max_attempts: most }) {
  if (!attempt) return "";
  return most ? `attempt ${attempt} of ${most}` : `attempt ${attempt}`;
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-status", scope);
  const label = element(doc, "strong");
  const attempt = element(doc, "span", { class: "cl-attempt" });
  const live = element(doc, "span", { class: "cl-live", role: "status", "aria-live": "polite", "aria-atomic": "true" }, label, attempt);
  const countdown = element(doc, "span", { class: "cl-countdown", "aria-hidden": "true" });
  const reason = element(doc, "bdi", { class: "cl-reason" });
  const dot = element(doc, "span", { class: "cl-dot", "aria-hidden": "true" });
  el.append(element(doc, "div", { class: "cl-badge" }, dot, element(doc, "div", { class: "cl-words" }, live, countdown)), reason);
  el.dataset.status = "disconnected";
  setText(label, LABELS.disconnected);

  let retryAt = null;
  let stop = null;

  function tick() {
    if (doc.hidden) return;
    const seconds = (retryAt - Date.now()) / 1_000;
    setText(countdown, countdownText(seconds));
    if (seconds <= 0) halt();
  }

  function halt() {
    stop?.();
    stop = null;
  }

  function show(message) {
    const { status, retry_in: retryIn, code } = message;
    halt();
    el.dataset.status = status in LABELS ? status : "error";
    setText(label, LABELS[status] ?? visibleLine(status));
    setText(attempt, attemptText(message));
    setText(reason, visibleLine(message.reason));
    setText(countdown, "");
    const details = [visibleLine(message.reason), code == null ? "" : `code ${code}`].filter(Boolean);
    el.title = details.join(" \u2013 ");
    if (retryIn == null) return;
    retryAt = Date.now() + 1_000 * retryIn;
    stop = scope.every(TICK, tick);
    tick();
  }

  snapshot({ scope, model, type: "status", show });
  return () => scope.end();
}

export default { render };
