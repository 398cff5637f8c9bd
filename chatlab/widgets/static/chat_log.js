// The chat view: messages with their ledger state, typing notices, and a compose box.
import { Download } from "./download.js";
import { Feed } from "./feed.js";
import { clearButton, SearchField } from "./list_tools.js";
import { TailList } from "./tail_list.js";
import { day, setTime, visible, visibleLine } from "./text.js";
import { Upload } from "./upload.js";
import { element, mount, Scope, setText, tell } from "./view.js";

const COLLAPSED = 1_500; // characters of a message shown without "Show more"
const COLLAPSED_LINES = 24;
const TYPING_EVERY = 3_000; // milliseconds between two typing notices
const TYPING_TIMEOUT = 10_000; // milliseconds until a typing notice disappears, in case the end of typing is lost
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
const RECALLED = 50; // sent texts that the arrow keys recall
const NO_KERNEL = "Not sent: the kernel doesn\u2019t answer. If it was restarted, copy your text and run the cell again.";
const LOST = new Set(["dropped", "expired", "failed", "undelivered"]);

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

export function typingText(names) {
  const shown = names.map((name) => visibleLine(name).slice(0, 40));
  if (!shown.length) return "";
  if (shown.length === 1) return `${shown[0]} is typing\u2026`;
  if (shown.length === 2) return `${shown[0]} and ${shown[1]} are typing\u2026`;
  return `${shown.length} people are typing\u2026`;
}

/** Returns whether a message matches a search, as ChatLog._filter in views.py does. */
export function matches(row, text) {
  return !text || `${row.sender ?? ""}\n${row.text ?? ""}`.toLowerCase().includes(text.toLowerCase());
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${count === 1 ? noun : `${noun}s`}`;

/** Returns the text about undelivered messages; empty if there are none. */
export function lostText({ here, elsewhere }) {
  const parts = [here ? `${counted(here, "message")} not delivered.` : "", elsewhere ? `${counted(elsewhere, "message")} for other rooms, names or servers stayed behind.` : ""];
  return parts.filter(Boolean).join(" ");
}

/** The people in the room: their number, and on demand their names. */
function peopleList(doc) {
  const summary = element(doc, "summary");
  const names = element(doc, "ul", { "aria-label": "People in the room" });
  const node = element(doc, "details", { class: "cl-people", hidden: true }, summary, names);
  function show({ names: shown, count }) {
    node.hidden = !Array.isArray(shown);
    if (node.hidden) return;
    setText(summary, count === 1 ? "1 person here" : `${count.toLocaleString("en")} people here`);
    names.replaceChildren(...shown.map((name) => element(doc, "li", {}, element(doc, "bdi", {}, visibleLine(name)))));
    if (count > shown.length) names.append(element(doc, "li", {}, `and ${(count - shown.length).toLocaleString("en")} more`));
  }
  return { node, show };
}

const EMPTY = ["No messages yet.", "Connect, then write below. Messages that you write before connecting wait in the outbox."];

function createMessage(doc, first) {
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
    setTime(time, row.at);
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
    const begins = today !== (above ? day(above.at) : day(Date.now()));
    date.hidden = !begins;
    setText(date, begins ? today : "");
    const alike = above && ["sender", "own", "kind"].every((name) => above[name] === current[name]);
    node.classList.toggle("cl-follows", Boolean(alike && !begins && current.at - above.at < GROUPED));
  }

  update(first);
  return { node, update, toggle, follow };
}

function compose({ scope, doc, model, complain }) {
  const input = element(doc, "textarea", { rows: 1, "aria-label": "Message", placeholder: "Message \u2013 Enter sends, Shift+Enter starts a line", dir: "auto" });
  const button = element(doc, "button", { type: "submit", class: "cl-button cl-primary" }, "Send");
  const form = element(doc, "form", { class: "cl-compose" }, input, button);
  let noticed = -Infinity;
  const sentTexts = []; // texts sent from this view, for recall
  let place = 0;

  /** Recalls the previous or next sent text, unless the person has typed something else. */
  function recall(step) {
    const isEnd = place + step === sentTexts.length;
    if (input.value !== (sentTexts[place] ?? "") || !(place + step in sentTexts || isEnd)) return false;
    place += step;
    input.value = sentTexts[place] ?? "";
    fit();
    return true;
  }

  function fit() {
    input.style.height = "auto";
    if (input.scrollHeight) input.style.height = `${Math.min(input.scrollHeight + 2, 160)}px`;
  }

  function submit() {
    const text = input.value.trimEnd();
    if (!text.trim()) return;
    const told = tell(model, { type: "send", text });
    complain(told ? "" : NO_KERNEL);
    if (!told) return;
    sentTexts.push(text);
    if (sentTexts.length > RECALLED) sentTexts.shift();
    place = sentTexts.length;
    input.value = "";
    noticed = -Infinity;
    fit();
  }

  scope.listen(form, "submit", (event) => {
    event.preventDefault();
    submit();
    input.focus();
  });
  scope.listen(input, "keydown", (event) => {
    const composing = event.isComposing || event.keyCode === 229; // an input method's Enter chooses a word
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && !composing && recall(step)) event.preventDefault();
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
  scope.listen(input, "input", () => {
    fit();
    if (!input.value.trim() || Date.now() - noticed < TYPING_EVERY) return;
    noticed = Date.now();
    tell(model, { type: "typing" });
  });
  return form;
}

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-chat", scope);
  const scroller = element(doc, "div", { class: "cl-scroll", role: "log", tabindex: 0, "aria-label": "Messages" });
  const announcer = element(doc, "div", { class: "cl-sr", role: "status" });
  const typing = element(doc, "div", { class: "cl-typing" });
  const announce = (text) => setText(announcer, text);
  const complaint = element(doc, "div", { class: "cl-complaint", role: "alert" });
  const complain = (text) => setText(complaint, text);

  const list = new TailList({
    scope,
    doc,
    scroller,
    counts: (row) => !row.own,
    create(row) {
      const message = createMessage(doc, row);
      const { update } = message;
      let state = row.state;
      return {
        ...message,
        update(next) {
          if (next.state !== state && LOST.has(next.state)) announce(`Message ${because(STATES[next.state][1], visibleLine(next.reason))}`);
          state = next.state;
          update(next);
        },
      };
    },
  });
  const [why, advice] = EMPTY.map((text) => element(doc, "p", {}, text));
  scroller.append(list.earlier, element(doc, "div", { class: "cl-empty" }, why, advice));
  const search = new SearchField({ scope, doc, label: "Search messages", changed: () => (feed.refilter(), showFitting()) });
  const found = element(doc, "span", { class: "cl-count", "aria-live": "polite" });
  const people = peopleList(doc);
  const bar = element(doc, "div", { class: "cl-toolbar" }, search.node, found, people.node);
  const lost = element(doc, "span");
  const retryAll = element(doc, "button", { type: "button", class: "cl-link" }, "Retry all");
  const losses = element(doc, "div", { class: "cl-losses", "aria-live": "polite", hidden: true }, lost, retryAll);
  scope.listen(retryAll, "click", () => complain(tell(model, { type: "retry all" }) ? "" : NO_KERNEL));
  const download = new Download({ scope, doc, model, name: "chatlab-transcript", what: "messages" });
  const upload = new Upload({ scope, doc, model, what: "messages", target: scroller });
  const files = element(doc, "div", { class: "cl-save" }, download.node, upload.node, clearButton({ scope, doc, model, what: "messages" }));
  const foot = element(doc, "div", { class: "cl-foot" }, typing, files);
  el.append(bar, element(doc, "div", { class: "cl-frame" }, scroller, list.jump), announcer, foot, losses, complaint, compose({ scope, doc, model, complain }));

  scope.listen(scroller, "click", (event) => {
    const action = event.target.closest?.("[data-action]")?.dataset.action;
    const id = event.target.closest?.(".cl-message")?.dataset.id;
    if (action === "more") {
      list.get(id)?.toggle();
      list.resized();
    }
    if (action === "retry") complain(tell(model, { type: "retry", id }) ? "" : NO_KERNEL);
  });

  let forget = () => {};
  const notes = {
    file: (message) => download.take(message),
    loaded: (message) => upload.take(message),
    people: (message) => people.show(message),
    lost(message) {
      setText(lost, lostText(message));
      losses.hidden = !lost.textContent;
      retryAll.hidden = !message.here;
    },
    typing({ names }) {
      forget();
      setText(typing, typingText(Array.isArray(names) ? names : []));
      forget = scope.after(TYPING_TIMEOUT, () => setText(typing, ""));
    },
  };
  const filter = () => (search.text ? { text: search.text } : undefined);
  const feed = new Feed({ scope, model, list, notes, filter, passes: (row) => matches(row, search.text) });
  const showFitting = () => {
    const { fitting, total } = feed;
    setText(found, search.text ? `${fitting.toLocaleString("en")} of ${counted(total, "message")}` : "");
    setText(why, search.text && total ? `None of ${counted(total, "message")} contains this.` : EMPTY[0]);
    advice.hidden = Boolean(search.text && total);
  };
  list.onChange = showFitting;
  return () => scope.end();
}

export default { render };
