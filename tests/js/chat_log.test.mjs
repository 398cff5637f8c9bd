import assert from "node:assert/strict";
import { test } from "node:test";
import view, { lostText, matches, typingText } from "../../chatlab/widgets/static/chat_log.js";
import { linked, shortened } from "../../chatlab/widgets/static/message.js";
import { REACH, WINDOW } from "../../chatlab/widgets/static/tail_list.js";
import { layOut, mount, press, range, readAt, scrollTo } from "./fake-model.mjs";

const FULL = process.env.CHATLAB_TIER === "proof"; // as in tests/sizes.py

const message = (n, fields = {}) => ({ id: `m${n}`, n, at: 1_700_000_000_000 + n, sender: "ada", text: `text ${n}`, own: false, state: "", kind: "message", ...fields });
const ids = (page) => page.$$(".cl-message").map((node) => node.dataset.id);

function chat(rows = []) {
  const page = mount(view);
  page.feed.reply("ready", rows);
  page.log = page.$("[role=log]");
  page.input = page.$("textarea");
  return page;
}

/** Somebody reads further up. */
const readAbove = (page) => readAt(page, page.log, 400);

test("requests the history, and shows it in order without announcing it", () => {
  const page = mount(view);
  assert.deepEqual(page.model.sent.map(({ type }) => type), ["ready"]);
  const log = page.$("[role=log]");
  assert.equal(log.getAttribute("aria-live"), "off");
  page.feed.reply("ready", [message(1), message(0)]);
  assert.deepEqual(ids(page), ["m0", "m1"]);
  assert.equal(log.getAttribute("aria-live"), "polite");
  page.feed.news([message(2)]);
  assert.deepEqual(ids(page), ["m0", "m1", "m2"]);
  assert.equal(page.$("time").textContent.length, 8);
  assert.match(page.$("time").title, /^2023-11-1[45] \d\d:\d\d:20\.000 \(22:13:20 UTC\)$/);
});

test("in slow motion, times are seconds since the start", () => {
  const page = mount(view, { elapsed: true });
  page.feed.reply("ready", []);
  assert.equal(page.$$(".cl-empty p")[1].hidden, true, "there is nothing to connect");
  page.feed.news([message(0, { at: 30_160 }), message(1, { at: 90_240.4 })]);
  assert.deepEqual(page.$$("time").map((node) => node.textContent), ["30.160 s", "90.240 s"]);
  assert.equal(page.$("time").getAttribute("datetime"), "PT30.160S");
  assert.equal(page.$$(".cl-day:not([hidden])").length, 0, "and have no date");
});

test("messages of one person within five minutes are grouped under one name", () => {
  const page = chat();
  const grouped = () => page.$$(".cl-follows").map((node) => node.dataset.id);
  const at = (minutes) => 1_700_000_000_000 + 60_000 * minutes;
  page.feed.news([
    message(1, { at: at(0) }), message(2, { at: at(1) }), message(3, { at: at(2), sender: "bob" }),
    message(4, { at: at(3), sender: "bob", own: true }), message(5, { at: at(9), sender: "bob", own: true }),
    message(6, { at: at(9), sender: "bob", own: true, kind: "notice" }), message(7, { at: at(9), sender: "bob", own: true }),
  ]);
  assert.deepEqual(grouped(), ["m2"]);
  page.feed.news([message(8, { at: at(9), sender: "bob", own: true })]);
  assert.deepEqual(grouped(), ["m2", "m8"]);
  assert.equal(page.$('[data-id="m2"] .cl-sender').textContent, "ada"); // still there for screen readers
});

test("earlier messages take over the name, and the first in the page has one", () => {
  const page = chat(range(WINDOW, (n) => message(n + 1)));
  assert.equal(page.$('[data-id="m1"]').classList.contains("cl-follows"), false);
  assert.equal(page.$('[data-id="m2"]').classList.contains("cl-follows"), true);
  page.feed.news([message(WINDOW + 1)]); // m1 leaves the page
  assert.equal(page.$('[data-id="m2"]').classList.contains("cl-follows"), false);
  readAbove(page);
  page.$(".cl-earlier").click();
  page.feed.reply("before", [message(1)], { replay: false, oldest: 1 });
  assert.equal(page.$('[data-id="m2"]').classList.contains("cl-follows"), true);
});

test("another day has its date above it; today needs none", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: new Date(2023, 10, 14, 12) });
  const noon = (day) => new Date(2023, 10, day, 12).getTime();
  const page = chat([message(0, { at: noon(13) }), message(1, { at: noon(13) + 1 }), message(2, { at: noon(14) })]);
  assert.deepEqual(page.$$(".cl-day").map((node) => node.hidden || node.textContent), ["2023-11-13", true, "2023-11-14"]);
  assert.deepEqual(chat([message(0, { at: noon(14) }), message(1, { at: null })]).$$(".cl-day").map((node) => node.hidden), [true, false]);
});

test("the arrow keys recall sent texts, but not over a text being written", () => {
  const page = chat();
  const say = (text) => {
    page.input.value = text;
    press(page, page.input, "Enter");
  };
  const after = (key) => [press(page, page.input, key).defaultPrevented, page.input.value];
  assert.deepEqual(after("ArrowUp"), [false, ""]);
  say("one");
  say("two\nlines");
  assert.deepEqual(after("ArrowUp"), [true, "two\nlines"]);
  assert.deepEqual(after("ArrowUp"), [true, "one"]);
  assert.deepEqual(after("ArrowUp"), [false, "one"]);
  assert.deepEqual(after("ArrowDown"), [true, "two\nlines"]);
  assert.deepEqual(after("ArrowDown"), [true, ""]);
  assert.deepEqual(after("ArrowDown"), [false, ""]);
  page.input.value = "three";
  assert.deepEqual(after("ArrowUp"), [false, "three"]);
});

test("an empty log says what to do", () => {
  assert.match(chat().$(".cl-empty").textContent, /^No messages yet\.Connect, then write below\./);
});

test("an answer in parts is complete when all parts have arrived", () => {
  const page = mount(view);
  page.feed.reply("ready", [message(0)], { part: 0, parts: 2 });
  assert.equal(page.$("[role=log]").getAttribute("aria-busy"), "true");
  page.feed.reply("ready", [message(1)], { part: 1, parts: 2 });
  assert.equal(page.$("[role=log]").getAttribute("aria-busy"), "false");
  assert.deepEqual(ids(page), ["m0", "m1"]);
});

test("an answer to another view is ignored", () => {
  const page = mount(view);
  page.feed.answer({ request: "somebody else" }, [message(0)]);
  assert.deepEqual(ids(page), []);
});

test("the same id changes in place, and keeps its node", () => {
  const page = chat([message(0, { own: true, state: "queued" })]);
  const node = page.$(".cl-message");
  page.feed.news([message(0, { own: true, state: "acked" })]);
  assert.equal(page.$(".cl-message"), node);
  assert.equal(page.$$(".cl-message").length, 1);
  assert.equal(page.$(".cl-mark").textContent, "\u2713\u2713delivered");
});

test("A72: markup is text, wherever it stands", () => {
  const evil = "<img src=x onerror=alert(1)></script><script>alert(1)</script><svg onload=alert(1)>";
  const page = chat([message(0, { text: evil, sender: evil, reason: evil, state: evil, kind: evil }), message(1, { state: "failed", reason: evil })]);
  page.model.receive({ type: "typing", names: [evil] });
  for (const tag of ["img", "script", "svg"]) assert.equal(page.$(tag), null);
  assert.equal(page.$(".cl-text").textContent, evil);
  assert.equal(page.$(".cl-sender").textContent, evil);
});

test("A72: only http, https and mailto become links, and they leak nothing", () => {
  const page = chat([message(0, { text: "see https://example.org/a?b=1. (http://x.org) mailto:a@b.org javascript:alert(1) data:text/html,x ftp://x https://" })]);
  const links = page.$$(".cl-text a");
  assert.deepEqual(links.map((link) => link.getAttribute("href")), ["https://example.org/a?b=1", "http://x.org/", "mailto:a@b.org"]);
  assert.deepEqual(links.map((link) => link.textContent), ["https://example.org/a?b=1", "http://x.org", "mailto:a@b.org"]);
  for (const link of links) assert.deepEqual([link.rel, link.target], ["noopener noreferrer", "_blank"]);
  const text = "a https://example.org b";
  assert.equal(linked(page.window.document, text).map((node) => node.textContent).join(""), text);
});

test("A74, A75: what hides is shown, names are isolated, texts find their own direction", () => {
  const page = chat([message(0, { sender: "a\u202eb\nc", text: "x\u001b[0m" })]);
  const sender = page.$(".cl-sender");
  assert.equal(sender.tagName, "BDI");
  assert.equal(sender.textContent, "a\u27e8RLO\u27e9b\u21b5c");
  assert.equal(sender.title, sender.textContent);
  assert.equal(page.$(".cl-text").textContent, "x\u27e8ESC\u27e9[0m");
  assert.equal(page.$(".cl-text").getAttribute("dir"), "auto");
});

test("a long message is collapsed until it is expanded", () => {
  const text = "word ".repeat(13_000);
  const page = chat([message(0, { text }), message(1)]);
  assert.ok(page.$(".cl-text").textContent.length < 2_000);
  const more = page.$("[data-action=more]");
  assert.equal(more.hidden, false);
  assert.match(more.textContent, /Show more \(65,000 characters\)/);
  more.click();
  assert.equal(page.$(".cl-text").textContent, text);
  assert.equal(more.getAttribute("aria-expanded"), "true");
  page.feed.news([message(0, { text, state: "acked" })]);
  assert.equal(page.$(".cl-text").textContent, text);
  more.click();
  assert.ok(page.$(".cl-text").textContent.length < 2_000);
  assert.equal(page.$$("[data-action=more]")[1].hidden, true);
  assert.equal(shortened("a\n".repeat(30)).split("\n").length, 24);
  assert.equal(shortened("x".repeat(1_499) + "\u{1f600}yy"), "x".repeat(1_499)); // never half a character
});

test("each ledger state has a symbol and a word; lost messages have a reason and can be retried", () => {
  const states = ["queued", "sent", "acked", "dropped", "expired", "failed"];
  const page = chat(states.map((state, n) => message(n, { own: true, state, reason: n > 2 ? "the server said 403" : "" })));
  const marks = page.$$(".cl-mark");
  assert.equal(marks.filter((mark) => mark.hidden).length, 0);
  assert.deepEqual(marks.map((mark) => mark.title), ["queued", "sent", "delivered", "dropped: the server said 403", "expired: the server said 403", "failed: the server said 403"]);
  const retries = page.$$("[data-action=retry]");
  assert.deepEqual(retries.map(({ hidden }) => hidden), [true, true, true, false, false, false]);
  retries[5].click();
  assert.deepEqual(page.model.asked("retry"), [{ type: "retry", id: "m5" }]);
  assert.match(page.$$(".cl-trouble")[5].textContent, /Not delivered . failed: the server said 403/);
});

test("a state that its reason begins with is shown once", () => {
  const page = chat([message(0, { own: true, state: "queued" })]);
  page.feed.news([message(0, { own: true, state: "dropped", reason: "dropped: the outbox is full" })]);
  assert.equal(page.$(".cl-trouble span").textContent, "Not delivered \u2013 dropped: the outbox is full");
  assert.equal(page.$(".cl-mark").title, "dropped: the outbox is full");
  assert.equal(page.$(".cl-sr[role=status]").textContent, "Message dropped: the outbox is full");
});

test("a message that was left behind shows its place, can be retried, and is announced once", () => {
  const page = chat([message(0, { own: true, state: "queued" }), message(1, { own: true, state: "queued" })]);
  page.feed.news([
    message(0, { own: true, state: "undelivered", reason: "for room lobby; it may have arrived" }),
    message(1, { own: true, state: "undelivered", reason: "for room \u202elobby" }),
  ]);
  const [first, second] = page.$$(".cl-trouble");
  assert.equal(first.querySelector("span").textContent, "Not delivered, for room lobby; it may have arrived");
  assert.equal(second.querySelector("span").textContent, "Not delivered, for room \u27e8RLO\u27e9lobby");
  assert.equal(page.$(".cl-mark").title, "not delivered, for room lobby; it may have arrived");
  assert.equal(page.$(".cl-mark").hidden, false);
  assert.deepEqual(page.$$("[data-action=retry]").map(({ hidden }) => hidden), [false, false]);
  first.querySelector("[data-action=retry]").click();
  assert.deepEqual(page.model.asked("retry"), [{ type: "retry", id: "m0" }]);
  assert.equal(page.$("[role=status]").textContent, "Message not delivered, for room \u27e8RLO\u27e9lobby");
  page.feed.news([message(0, { own: true, state: "queued", reason: "" })]);
  assert.deepEqual([first.hidden, page.$(".cl-mark").title], [true, "queued"]);
});

test("a failure is announced once", () => {
  const page = chat([message(0, { own: true, state: "sent" })]);
  const status = page.$("[role=status]");
  assert.equal(status.textContent, "");
  page.feed.news([message(0, { own: true, state: "failed", reason: "403" })]);
  assert.equal(status.textContent, "Message failed: 403");
});

test("the page holds a window of 500 rows", () => {
  const page = chat();
  const count = FULL ? 2_000 : 600;
  for (let start = 0; start < count; start += 200) page.feed.news(range(200, (n) => message(start + n)));
  assert.equal(page.$$(".cl-message").length, WINDOW);
  assert.equal(ids(page)[0], `m${count - WINDOW}`);
  assert.equal(ids(page).at(-1), `m${count - 1}`);
});

test("earlier rows are loaded at the top, one request at a time, also by button", () => {
  const page = chat(range(10, (n) => message(100 + n)));
  const button = page.$(".cl-earlier");
  assert.equal(button.hidden, false);
  readAt(page, page.log, 0);
  scrollTo(page, page.log, 1);
  button.click();
  assert.deepEqual(page.model.asked("before").map(({ id }) => id), ["m100"]);
  page.feed.reply("before", range(100, (n) => message(n)), { replay: false });
  assert.equal(ids(page)[0], "m0");
  assert.equal(ids(page).length, 110);
  assert.equal(button.hidden, true);
});

test("a reader further up keeps the visible rows, up to a limit", { skip: !FULL }, () => {
  const page = chat(range(10, (n) => message(n)));
  readAbove(page);
  for (let start = 10; start < 6_010; start += 500) page.feed.news(range(500, (n) => message(start + n)));
  assert.equal(page.$$(".cl-message").length, REACH);
  const earlier = page.$(".cl-earlier");
  assert.deepEqual([earlier.hidden, earlier.disabled], [false, true]);
  assert.equal(earlier.textContent, "The page shows 5,000 messages at most; save them all to read earlier ones");
  page.$(".cl-jump").click();
  page.feed.news([message(6_010)]);
  assert.equal(page.$$(".cl-message").length, WINDOW);
  assert.deepEqual([earlier.hidden, earlier.disabled, earlier.textContent], [false, false, "Show earlier messages"]);
});

test("a change of a row that left the window doesn't bring it back", () => {
  const page = chat(range(10, (n) => message(100 + n)));
  page.feed.news([message(3, { state: "acked" }), message(110)]);
  assert.deepEqual(ids(page)[0], "m100");
  assert.equal(ids(page).length, 11);
});

test("scrolls with new rows at the end; further up it marks unread rows and offers to jump", () => {
  const page = chat([message(0)]);
  page.feed.news([message(1)]);
  const jump = page.$(".cl-jump");
  assert.equal(jump.hidden, true);
  assert.equal(page.$(".cl-unread"), null);
  readAbove(page);
  assert.equal(jump.textContent, "Jump to latest");
  page.feed.news([message(2), message(3, { own: true })]);
  page.feed.news([message(4)]);
  assert.equal(page.log.scrollTop, 400);
  assert.equal(jump.textContent, "2 new \u2013 jump to latest");
  assert.equal(page.$(".cl-unread").nextElementSibling.dataset.id, "m2");
  jump.click();
  assert.equal(page.log.scrollTop, 1_000);
  assert.equal(jump.hidden, true);
  page.feed.news([message(5)]);
  assert.equal(page.$(".cl-unread"), null);
});

test("a late font doesn't stop the log from following its end, a reader does", () => {
  const page = chat([message(0)]);
  layOut(page.log, { scrollHeight: 1_000, clientHeight: 100 });
  scrollTo(page, page.log, 880);
  assert.equal(page.log.scrollTop, 1_000);
  scrollTo(page, page.log, 880);
  assert.equal(page.$(".cl-jump").hidden, false);
});

test("expanding the last message keeps it in view", () => {
  const page = chat([message(0, { text: "word ".repeat(1_000) })]);
  layOut(page.log, { scrollHeight: 1_000, clientHeight: 100 });
  scrollTo(page, page.log, 900);
  layOut(page.log, { scrollHeight: 5_000, clientHeight: 100 });
  page.$("[data-action=more]").click();
  page.feed.news([message(1)]);
  assert.equal(page.log.scrollTop, 1_000);
  assert.equal(page.$(".cl-jump").textContent, "1 new \u2013 jump to latest");
});

test("requests missed messages, and again if no answer comes", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chat([message(0)]);
  page.feed.news([message(1)]);
  page.feed.lose();
  page.feed.news([message(3)]);
  assert.deepEqual(ids(page), ["m0", "m1", "m3"]);
  assert.deepEqual(page.model.asked("missed").map(({ after }) => after), [1]);
  page.feed.news([message(4)]);
  assert.equal(page.model.asked("missed").length, 1);
  t.mock.timers.tick(2_000);
  assert.equal(page.model.asked("missed").length, 2);
  page.feed.reply("missed", [message(2), message(3), message(4)], { replay: false });
  assert.deepEqual(ids(page), ["m0", "m1", "m2", "m3", "m4"]);
  t.mock.timers.tick(60_000);
  assert.equal(page.model.asked("missed").length, 2);
});

test("a mark reveals a lost last message", () => {
  const page = chat([message(0)]);
  page.feed.mark();
  assert.equal(page.model.asked("missed").length, 0);
  page.feed.lose();
  page.feed.mark();
  assert.equal(page.model.asked("missed").length, 1);
});

test("requests everything again if the first answer is lost", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = mount(view);
  t.mock.timers.tick(2_000);
  t.mock.timers.tick(4_000);
  assert.equal(page.model.asked("ready").length, 3);
  page.feed.answer(page.model.asked("ready")[0], [message(0)]);
  assert.deepEqual(ids(page), []);
  page.feed.reply("ready", [message(0)]);
  assert.deepEqual(ids(page), ["m0"]);
  page.end();
});

test("a replay replaces rows that may have gaps", () => {
  const page = chat([message(0)]);
  page.feed.lose();
  page.feed.mark();
  page.feed.reply("missed", range(5, (n) => message(9_000 + n)), { replay: true });
  assert.equal(ids(page)[0], "m9000");
});

test("a new epoch clears the log", () => {
  const page = chat([message(0)]);
  page.feed.epoch += 1;
  page.feed.news([message(1)]);
  assert.deepEqual(ids(page), ["m1"]);
});

test("Enter sends, Shift+Enter and an input method's Enter don't, blank isn't sent", () => {
  const page = chat();
  page.input.value = "  ";
  press(page, page.input, "Enter");
  page.input.value = "  hello\n";
  press(page, page.input, "Enter", { shiftKey: true });
  press(page, page.input, "Enter", { isComposing: true });
  assert.equal(page.model.asked("send").length, 0);
  assert.equal(press(page, page.input, "Enter").defaultPrevented, true);
  assert.deepEqual(page.model.asked("send"), [{ type: "send", text: "  hello" }]);
  assert.equal(page.input.value, "");
  page.input.value = "by button";
  page.$("form").dispatchEvent(new page.window.Event("submit", { cancelable: true }));
  assert.equal(page.model.asked("send").length, 2);
});

test("a text that can't be sent to the kernel stays in the box", () => {
  const page = chat([message(0, { state: "failed" })]);
  page.model.disconnected = true;
  page.input.value = "precious";
  page.input.dispatchEvent(new page.window.Event("input", { bubbles: true }));
  press(page, page.input, "Enter");
  assert.equal(page.input.value, "precious");
  const complaint = page.$(".cl-complaint");
  assert.equal(complaint.getAttribute("role"), "alert");
  assert.match(complaint.textContent, /^Not sent: the kernel doesn\u2019t answer/);
  page.model.disconnected = false;
  press(page, page.input, "Enter");
  assert.deepEqual([page.input.value, complaint.textContent], ["", ""]);
  page.model.disconnected = true;
  page.$("[data-action=retry]").click();
  assert.match(complaint.textContent, /^Not sent/);
});

test("requests that failed are repeated when the kernel is back", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chat();
  page.feed.lose();
  page.model.disconnected = true;
  page.feed.mark();
  assert.equal(page.model.asked("missed").length, 0);
  page.model.disconnected = false;
  t.mock.timers.tick(2_000);
  assert.equal(page.model.asked("missed").length, 1);
});

test("keystrokes don't reach JupyterLab's shortcuts", () => {
  const page = chat();
  let heard = 0;
  page.window.document.addEventListener("keydown", () => (heard += 1));
  press(page, page.input, "d");
  press(page, page.log, "x");
  assert.equal(heard, 0);
  assert.equal(page.el.dataset.lmSuppressShortcuts, "true");
});

test("sends typing notices at most every 3 s, and not for an empty box", (t) => {
  t.mock.timers.enable({ apis: ["Date", "setTimeout"], now: 1_000_000 });
  const page = chat();
  const type = (text) => {
    page.input.value = text;
    page.input.dispatchEvent(new page.window.Event("input", { bubbles: true }));
  };
  type("");
  assert.equal(page.model.asked("typing").length, 0);
  type("h");
  type("he");
  t.mock.timers.tick(2_999);
  type("hel");
  assert.equal(page.model.asked("typing").length, 1);
  t.mock.timers.tick(1);
  type("hell");
  assert.equal(page.model.asked("typing").length, 2);
});

test("shows who types, until they stop or 10 s pass", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chat();
  page.model.receive({ type: "typing", names: ["ada", "bob"] });
  assert.equal(page.$(".cl-typing").textContent, "ada and bob are typing\u2026");
  page.model.receive({ type: "typing", names: [] });
  assert.equal(page.$(".cl-typing").textContent, "");
  page.model.receive({ type: "typing", names: ["ada"] });
  t.mock.timers.tick(10_000);
  assert.equal(page.$(".cl-typing").textContent, "");
  assert.equal(typingText(["a", "b", "c"]), "3 people are typing\u2026");
});

test("cleanup leaves no listener, no timer and no node", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const page = mount(view);
  page.model.receive({ type: "typing", names: ["ada"] });
  page.feed.reply("ready", [message(0)]);
  page.feed.lose();
  page.feed.mark();
  const sent = page.model.sent.length;
  assert.ok(page.listeners > 0 && page.model.listening > 0);
  page.end();
  t.mock.timers.tick(100_000);
  assert.deepEqual([page.listeners, page.model.listening, page.el.childNodes.length, page.model.sent.length], [0, 0, 0, sent]);
});

test("a search shows only matching messages, of all that Python has, and of new ones", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chat([message(0, { text: "Hello" }), message(1, { sender: "Helen", text: "x" }), message(2)]);
  const search = page.$("[type=search]");
  const say = (text) => {
    search.value = text;
    search.dispatchEvent(new page.window.Event("input"));
    t.mock.timers.tick(200);
  };
  say("hel");
  assert.deepEqual(ids(page), ["m0", "m1"]);
  assert.deepEqual(page.model.asked("ready").at(-1).filter, { text: "hel" });
  page.feed.reply("ready", [message(0, { text: "Hello" }), message(1, { sender: "Helen", text: "x" })], { total: 3, newest: 2 });
  assert.equal(page.$(".cl-count").textContent, "2 of 3 messages");
  page.feed.news([message(3), message(4, { text: "a shell" })]);
  assert.deepEqual(ids(page), ["m0", "m1", "m4"]);
  say("nowhere");
  page.feed.reply("ready", [], { total: 5, newest: 4 });
  assert.match(page.$(".cl-empty").textContent, /^None of 5 messages contains this\./);
  say("");
  assert.equal(page.model.asked("ready").at(-1).filter, undefined);
  assert.equal(page.$(".cl-count").textContent, "");
});

test("people are counted, and listed by name as text", () => {
  const page = chat();
  const list = page.$(".cl-people");
  assert.equal(list.hidden, true);
  page.model.receive({ type: "people", names: ["ada", "<b>b</b>\u202e"], count: 3 });
  assert.equal(list.hidden, false);
  assert.equal(page.$("summary").textContent, "3 people here");
  assert.deepEqual(page.$$(".cl-people li").map((node) => node.textContent), ["ada", "<b>b</b>\u27e8RLO\u27e9", "and 1 more"]);
  page.model.receive({ type: "people", names: ["ada"], count: 1 });
  assert.equal(page.$("summary").textContent, "1 person here");
  page.model.receive({ type: "people", names: null, count: 0 });
  assert.equal(list.hidden, true);
});

test("undelivered messages are counted, and those for this place retried by one button", () => {
  const page = chat();
  const line = page.$(".cl-losses");
  assert.equal(line.hidden, true);
  page.model.receive({ type: "lost", here: 3, elsewhere: 1 });
  assert.equal(line.hidden, false);
  assert.equal(line.querySelector("span").textContent, "3 messages not delivered. 1 message for other rooms, names or servers stayed behind.");
  line.querySelector("button").click();
  assert.deepEqual(page.model.asked("retry all"), [{ type: "retry all" }]);
  page.model.receive({ type: "lost", here: 0, elsewhere: 2 });
  assert.equal(line.querySelector("button").hidden, true);
  page.model.receive({ type: "lost", here: 0, elsewhere: 0 });
  assert.equal(line.hidden, true);
});

test("a search looks into sender and text, in any case", () => {
  assert.ok(matches({ sender: "Ada", text: null }, "aDA"));
  assert.ok(matches({}, ""));
  assert.ok(!matches({ sender: "ada", text: "x" }, "ada x"));
  assert.equal(lostText({ here: 1, elsewhere: 0 }), "1 message not delivered.");
});
