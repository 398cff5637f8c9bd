// The connection's status, its reason, and the time until the next attempt.
import { clock, visible, visibleLine } from "./text.js";
import { element, mount, Scope, setText, snapshot } from "./view.js";

const TICK = 100; // milliseconds between two updates of the countdown
const BRIEF = 700; // milliseconds until an unacknowledged message counts as waiting
const LABELS = {
  disconnected: "disconnected",
  connecting: "connecting\u2026",
  connected: "connected",
  reconnecting: "reconnecting",
  error: "gave up",
};

/** Returns the countdown to the next attempt as text. */
export function countdownText(seconds) {
  if (seconds <= 0) return "trying\u2026";
  if (seconds < 60) return `next try in ${seconds.toFixed(1)} s`;
  return `next try in ${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

/** Returns the number of the attempt as text; empty for the first one. */
export function attemptText({ attempt, max_attempts: most }) {
  if (!attempt) return "";
  return most ? `attempt ${attempt} of ${most}` : `attempt ${attempt}`;
}

/** Returns the transport in use as text; empty while there is no connection and none is being made. */
export function transportText({ status, transport }) {
  return transport && !["disconnected", "error"].includes(status) ? visibleLine(transport) : "";
}

/** Returns the number of messages in the outbox as text; empty if there are none. */
export function waitingText(waiting) {
  return waiting ? `${waiting.toLocaleString("en")} ${waiting === 1 ? "message waits" : "messages wait"}` : "";
}

/** Returns the tooltip of a status: reason, code, time and details, each on a line. */
export function detailsText({ status, reason, code, at, details }) {
  const since = at == null ? "" : `${LABELS[status] ? `${status} ` : ""}since ${clock(at)}`;
  return [visibleLine(reason), code == null ? "" : `code ${code}`, since, visible(details)].filter(Boolean).join("\n");
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-status", scope);
  const label = element(doc, "strong");
  const transport = element(doc, "span", { class: "cl-transport" });
  const attempt = element(doc, "span", { class: "cl-attempt" });
  const live = element(doc, "span", { class: "cl-live", role: "status", "aria-live": "polite", "aria-atomic": "true" }, label, transport, attempt);
  const countdown = element(doc, "span", { class: "cl-countdown", "aria-hidden": "true" });
  const waiting = element(doc, "span", { class: "cl-waiting", title: "In the outbox: queued, or sent and not yet acknowledged" });
  const reason = element(doc, "bdi", { class: "cl-reason" });
  const dot = element(doc, "span", { class: "cl-dot", "aria-hidden": "true" });
  el.append(element(doc, "div", { class: "cl-badge" }, dot, element(doc, "div", { class: "cl-words" }, live, countdown, waiting)), reason);
  el.dataset.status = "disconnected";
  setText(label, LABELS.disconnected);

  let retryIn = 0; // at `shownAt`
  let shownAt = 0;
  let rate = 1; // seconds of the countdown in a second
  let stop = null;
  let later = () => {};

  /** Shows the waiting messages; while connected, only if they aren't acknowledged at once. */
  function showWaiting({ status, waiting: count }) {
    later();
    const say = () => setText(waiting, waitingText(count));
    if (status !== "connected" || !count || waiting.textContent) say();
    else later = scope.after(BRIEF, say);
  }

  function tick() {
    if (doc.hidden) return;
    const seconds = retryIn - (rate * (Date.now() - shownAt)) / 1_000;
    setText(countdown, countdownText(seconds));
    if (seconds <= 0 || !rate) halt();
  }

  function halt() {
    stop?.();
    stop = null;
  }

  function show(message) {
    const { status } = message;
    halt();
    el.dataset.status = status in LABELS ? status : "error";
    setText(label, LABELS[status] ?? visibleLine(status));
    setText(transport, transportText(message));
    setText(attempt, attemptText(message));
    setText(reason, visibleLine(message.reason));
    setText(countdown, "");
    el.title = detailsText(message);
    showWaiting(message);
    if (message.retry_in == null) return;
    retryIn = message.retry_in;
    shownAt = Date.now();
    rate = message.rate ?? 1;
    stop = scope.every(TICK, tick);
    tick();
  }

  snapshot({ scope, model, type: "status", show });
  return () => scope.end();
}

export default { render };
