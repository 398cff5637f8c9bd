// The chat view: messages, the people in the room, typing notices, and a compose box.
import { compose, NO_KERNEL } from "./compose.js";
import { Download } from "./download.js";
import { Feed } from "./feed.js";
import { clearButton, SearchField } from "./list_tools.js";
import { announced, createMessage, LOST } from "./message.js";
import { TailList } from "./tail_list.js";
import { visibleLine } from "./text.js";
import { Upload } from "./upload.js";
import { element, mount, Scope, setText, tell } from "./view.js";

const TYPING_TIMEOUT = 10_000; // milliseconds until a typing notice disappears, in case the end of typing is lost

export function typingText(names) {
  const shown = names.map((name) => visibleLine(name).slice(0, 40));
  if (!shown.length) return "";
  if (shown.length === 1) return `${shown[0]} is typing\u2026`;
  if (shown.length === 2) return `${shown[0]} and ${shown[1]} are typing\u2026`;
  return `${shown.length} people are typing\u2026`;
}

/** Returns whether a message matches a search, as ChatLog._filter in logs.py does. */
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

function render({ model, el }) {
  const doc = el.ownerDocument;
  const scope = new Scope();
  mount(el, "cl-chat", scope);
  const elapsed = model.get("elapsed");
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
      const message = createMessage(doc, row, elapsed);
      const { update } = message;
      let state = row.state;
      return {
        ...message,
        update(next) {
          if (next.state !== state && LOST.has(next.state)) announce(announced(next));
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
    advice.hidden = elapsed || Boolean(search.text && total);
  };
  list.onChange = showFitting;
  return () => scope.end();
}

export default { render };
