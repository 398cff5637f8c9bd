// A message of the chat view: its text with links, its ledger state, and the reason if it wasn't delivered.
import { day, setElapsed, setTime, visible, visibleLine } from "./text.js";
import { element, setText } from "./view.js";

const COLLAPSED = 1_500; // characters of a message shown without "Show more"
const COLLAPSED_LINES = 24;
const REASON = 300; // characters of a reason shown in its row; the tooltip has all of it
const LINK = /\b(?:https?:\/\/|mailto:)[^\s<>"'`\u27e8\u27e9]+/gi;
const STATES = {
  queued: ["\u25f7", "queued"],
  sent: ["\u2713", "sent"],
  acked: ["\u2713\u2713", "delivered"],
  dropped: ["\u26a0", "dropped"],
  expired: ["\u26a0", "expired"],
  failed: ["\u26a0", "failed"],
  undelivered: ["\u26a0", "not delivered"], // the conversation switched to another place without it
};
const GROUPED = 300_000; // milliseconds within which a person's messages are grouped under one name
export const LOST = new Set(["dropped", "expired", "failed", "undelivered"]);

/** Splits text into text nodes and links. Only http, https and mailto URLs become links, and they show their URL. */
export function linked(doc, text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(/[.,;:!?)\]}]+$/, "");
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(end, match.index));
    parts.push(element(doc, "a", { href: new URL(address).href, target: "_blank", rel: "noopener noreferrer" }, address));
    end = match.index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "").map((part) => (typeof part === "string" ? doc.createTextNode(part) : part));
}

/** Returns the first characters and lines of a long text, or null if it is short. */
export function shortened(text) {
  const lines = text.split("\n", COLLAPSED_LINES + 1);
  if (text.length <= COLLAPSED && lines.length <= COLLAPSED_LINES) return null;
  const cut = lines.slice(0, COLLAPSED_LINES).join("\n").slice(0, COLLAPSED);
  return cut.replace(/[\ud800-\udbff]$/, "");
}

/** Joins a state and its reason, which may already begin with the state. */
function because(state, why) {
  if (!why || why.startsWith(`${state}:`)) return why || state;
  return state === STATES.undelivered[1] ? `${state}, ${why}` : `${state}: ${why}`;
}

/** Returns the text below an undelivered message. */
function explained(state, described) {
  const text = described.length > REASON ? `${described.slice(0, REASON)}\u2026` : described;
  return state === "undelivered" ? `N${text.slice(1)}` : `Not delivered \u2013 ${text}`;
}

/** Returns the text that announces a message that is lost. */
export function announced({ state, reason }) {
  return `Message ${because(STATES[state][1], visibleLine(reason))}`;
}

/** Returns the view of a message. */
export function createMessage(doc, first, elapsed) {
  const time = element(doc, "time");
  const sender = element(doc, "bdi", { class: "cl-sender" });
  const text = element(doc, "div", { class: "cl-text", dir: "auto" });
  const more = element(doc, "button", { type: "button", class: "cl-link", "data-action": "more", hidden: true });
  const glyph = element(doc, "span", { "aria-hidden": "true" });
  const state = element(doc, "span", { class: "cl-sr" });
  const mark = element(doc, "span", { class: "cl-mark", hidden: true }, glyph, state);
  const retry = element(doc, "button", { type: "button", class: "cl-link", "data-action": "retry", hidden: true }, "Retry");
  const reason = element(doc, "span");
  const trouble = element(doc, "div", { class: "cl-trouble", hidden: true }, reason, retry);
  const content = element(doc, "div", { class: "cl-content" }, text, more, trouble);
  const date = element(doc, "div", { class: "cl-day", hidden: true });
  const node = element(doc, "div", { class: "cl-message" }, date, time, sender, content, mark);
  let shown; // the text and whether it is expanded, as last drawn
  let expanded = false;
  let current;

  function drawText() {
    const whole = visible(current.text);
    if (shown === `${expanded}${whole}`) return;
    shown = `${expanded}${whole}`;
    const cut = shortened(whole);
    text.replaceChildren(...linked(doc, cut !== null && !expanded ? `${cut}\u2026` : whole));
    text.classList.toggle("cl-collapsed", cut !== null && !expanded);
    more.hidden = cut === null;
    setText(more, expanded ? "Show less" : `Show more (${whole.length.toLocaleString("en")} characters)`);
    more.setAttribute("aria-expanded", String(expanded));
  }

  function update(row) {
    current = row;
    const lost = LOST.has(row.state);
    const why = visibleLine(row.reason);
    const [sign, word] = STATES[row.state] ?? ["", ""];
    const described = because(word, why);
    node.dataset.id = row.id;
    node.dataset.kind = row.kind ?? "message";
    node.dataset.state = row.state ?? "";
    node.classList.toggle("cl-own", Boolean(row.own));
    if (elapsed) setElapsed(time, row.at);
    else setTime(time, row.at);
    setText(sender, visibleLine(row.sender));
    sender.title = visibleLine(row.sender);
    drawText();
    mark.hidden = !word;
    mark.title = described;
    setText(glyph, sign);
    setText(state, described);
    trouble.hidden = !lost;
    setText(reason, lost ? explained(row.state, described) : "");
    retry.hidden = !lost;
  }

  function toggle() {
    expanded = !expanded;
    drawText();
  }

  /** Groups the message with the one above if the sender is the same, and shows the date if it differs. */
  function follow(above) {
    const today = day(current.at);
    const begins = !elapsed && today !== (above ? day(above.at) : day(Date.now()));
    date.hidden = !begins;
    setText(date, begins ? today : "");
    const alike = above && ["sender", "own", "kind"].every((name) => above[name] === current[name]);
    node.classList.toggle("cl-follows", Boolean(alike && !begins && current.at - above.at < GROUPED));
  }

  update(first);
  return { node, update, toggle, follow };
}
