// A view's end of a FeedWidget: numbered rows from Python, asked for again where some are missing.
import { tell } from "./view.js";

const ASK_AGAIN = 2_000; // milliseconds until an unanswered request is repeated; doubles up to
const ASK_AGAIN_MAX = 30_000;

/** Knows which numbered messages have come, whatever was lost between. */
export class Sequence {
  last = null; // everything up to here has come; null: nothing is known yet
  #goal = -1;
  #ahead = new Set();

  get complete() {
    return this.last !== null && this.last >= this.#goal;
  }

  /** A message came. */
  saw(number) {
    this.expect(number);
    if (this.last === null || number > this.last) this.#ahead.add(number);
    this.#advance();
  }

  /** Messages up to this number exist. */
  expect(number) {
    this.#goal = Math.max(this.#goal, number);
  }

  /** Everything up to this number was made up for. */
  reached(number) {
    this.expect(number);
    this.last = Math.max(this.last ?? number, number);
    for (const ahead of this.#ahead) if (ahead <= this.last) this.#ahead.delete(ahead);
    this.#advance();
  }

  #advance() {
    while (this.last !== null && this.#ahead.delete(this.last + 1)) this.last += 1;
  }
}

/**
 * A view's end of a FeedWidget: hands rows to `list`, asks for all when it is mounted and for what it missed,
 * repeats what stays unanswered. `notes` maps the types of unnumbered messages to functions. A `filter()` goes with
 * what is asked for, so that Python looks through the whole history; `passes(row)` says the same of what is new.
 */
export class Feed {
  #model;
  #scope;
  #list;
  #sequence = new Sequence();
  #epoch = null;
  #view = Math.random().toString(36).slice(2);
  #requests = 0;
  #sync = null; // the request whose answer makes the sequence complete
  #page = null; // the request for earlier rows
  #patience = ASK_AGAIN;
  #filter;
  #passes;
  #oldest = 0; // the first place in Python that passes
  #counted = -1; // the last place that `fitting` counts

  total = 0; // rows in Python
  fitting = 0; // those of them that pass

  constructor({ scope, model, list, notes = {}, filter = () => undefined, passes = () => true }) {
    this.#scope = scope;
    this.#model = model;
    this.#list = list;
    this.#filter = filter;
    this.#passes = passes;
    list.onEarlier = (id) => this.#earlier(id);
    list.busy(true);
    scope.subscribe(model, "msg:custom", (message) => {
      if (message?.type === "rows") this.#rows(message);
      else if (message?.type === "mark") this.#mark(message);
      else notes[message?.type]?.(message);
    });
    this.#synchronise();
  }

  /** The filter has changed: what is in the page goes by it at once, and Python is asked for the rest. */
  refilter() {
    this.#page?.cancel();
    this.#page = null;
    this.#sync?.cancel();
    this.#oldest = 0;
    this.#list.busy(true);
    this.#list.retain((row) => this.#passes(row));
    this.#synchronise(true);
  }

  #ask(type, fields) {
    const request = { id: `${this.#view}-${++this.#requests}`, parts: new Set(), rows: new Set() };
    tell(this.#model, { type, request: request.id, filter: this.#filter(), ...fields });
    return request;
  }

  #synchronise(afresh = this.#sequence.last === null) {
    this.#sync = afresh ? this.#ask("ready") : this.#ask("missed", { after: this.#sequence.last });
    this.#sync.cancel = this.#scope.after(this.#patience, () => {
      this.#patience = Math.min(2 * this.#patience, ASK_AGAIN_MAX);
      this.#synchronise(afresh);
    });
  }

  #earlier(id) {
    if (this.#page) return;
    this.#page = this.#ask("before", { id });
    this.#page.cancel = this.#scope.after(ASK_AGAIN, () => (this.#page = null));
  }

  #enter(epoch) {
    if (this.#epoch !== null && epoch !== this.#epoch) this.#list.clear();
    this.#epoch = epoch;
  }

  #mark({ epoch, seq }) {
    this.#enter(epoch);
    this.#sequence.expect(seq);
    this.#mend();
  }

  #rows(message) {
    const { epoch, seq, oldest, rows, reply } = message;
    const request = [this.#sync, this.#page].find((asked) => asked && asked.id === reply);
    if (reply !== undefined && !request) return; // the answer to another view, or a late one
    this.#enter(epoch);
    const replay = request !== undefined && message.replay;
    if (replay) this.#renew(request, message);
    this.total = message.total ?? 0;
    this.#oldest = request ? oldest : Math.max(this.#oldest, oldest);
    const fitting = rows.filter((row) => this.#passes(row));
    this.#count(request && message, fitting);
    this.#list.drop(rows.filter((row) => !this.#passes(row)));
    this.#list.show(fitting, this.#oldest, replay || (request !== undefined && request === this.#page));
    if (request) this.#answered(request, message);
    else this.#sequence.saw(seq);
    this.#mend();
  }

  /** Once all of an answer is there, what it doesn't bring goes, or rows between might be missing; what it brings stays as it is. */
  #renew(request, { part, parts, newest, rows }) {
    for (const { id } of rows) request.rows.add(id);
    if (new Set(request.parts).add(part).size === parts) this.#list.retain(({ id, n }) => n > newest || request.rows.has(id));
  }

  #answered(request, { part, parts, seq }) {
    request.parts.add(part);
    if (request.parts.size < parts) return;
    request.cancel();
    if (request === this.#page) {
      this.#page = null;
      return;
    }
    this.#sync = null;
    this.#patience = ASK_AGAIN;
    this.#sequence.reached(seq);
    this.#list.busy(false);
  }

  #count(answer, rows) {
    if (answer) {
      this.fitting = answer.fitting ?? 0;
      this.#counted = answer.newest ?? -1;
      rows = [...this.#list.entries()].map(({ row }) => row); // what came while the answer was on its way
    }
    for (const { n } of rows) {
      if (n <= this.#counted) continue;
      this.fitting += 1;
      this.#counted = n;
    }
    this.fitting = Math.min(this.fitting, this.total);
  }

  #mend() {
    if (!this.#sync && !this.#sequence.complete) this.#synchronise();
  }
}
