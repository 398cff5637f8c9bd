// Text with invisible characters made visible, and times.
import { setText } from "./view.js";

// C0 except tab and line feed, DEL and C1; zero-width space, word joiner and invisible operators; bidirectional controls.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]/g;
const C0 = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US";
const ABBREVIATIONS = {
  ...C0.split(" "),
  0x7f: "DEL", 0x200b: "ZWSP", 0x2060: "WJ", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};

function symbol(character) {
  const code = character.codePointAt(0);
  return `\u27e8${ABBREVIATIONS[code] ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** Returns the text with hidden and reordering characters made visible, and at most eight combining marks in a row. */
export function visible(text) {
  return String(text ?? "")
    .replace(/\r\n/g, "\n")
    .replace(HIDDEN, symbol)
    .replace(/\p{Surrogate}/gu, "\ufffd")
    .replace(/(\p{M}{8})\p{M}+/gu, "$1");
}

/** Returns the same on one line, for names, reasons and labels. */
export function visibleLine(text) {
  return visible(text).replace(/\t/g, " ").replace(/[\n\u2028\u2029]/g, "\u21b5");
}

/** Returns the local time as HH:MM:SS, optionally with milliseconds. */
export function clock(at, milliseconds = false) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "--:--:--";
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => pad(part)).join(":");
  return milliseconds ? `${time}.${pad(date.getMilliseconds(), 3)}` : time;
}

/** Returns the local date as YYYY-MM-DD. */
export function day(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** Sets the content of a `<time>` to a number of milliseconds since the start, as seconds. */
export function setElapsed(node, at) {
  const seconds = `${(at / 1_000).toFixed(3)} s`;
  node.setAttribute("datetime", `PT${(at / 1_000).toFixed(3)}S`);
  node.title = seconds;
  setText(node, seconds);
}

/** Sets the content of a `<time>`; its tooltip has the date, and the time in UTC. */
export function setTime(node, at, milliseconds = false) {
  const date = new Date(at);
  const iso = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  node.setAttribute("datetime", iso);
  node.title = iso && `${day(at)} ${clock(at, true)} (${iso.slice(11, 19)} UTC)`;
  setText(node, clock(at, milliseconds));
}
