// The view's side of a FeedWidget: receives numbered messages of rows, and requests missing ones again.
import { tell } from "./view.js";

const RETRY_DELAY = 2_000; // milliseconds until an unanswered request is repeated; doubled each time, up to
const MAX_RETRY_DELAY = 30_000;

/** Tracks which numbered messages have arrived, and whether any are missing. */
export class Sequence {
  last = null; // all messages up to this number have arrived; null: none known yet
  #goal = -1;
  #ahead = new Set();

  get complete() {
    return this.last !== null && this.last >= this.#goal;
  }

  /** Records that a message arrived. */
  saw(number) {
    this.expect(number);
    if (this.last === null || number > this.last) this.#ahead.add(number);
    this.#advance();
  }

  /** Records that messages up to this number exist. */
  expect(number) {
    this.#goal = Math.max(this.#goal, number);
  }

  /** Records that an answer covered all messages up to this number. */
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
 * The view's side of a FeedWidget. It passes rows to `list`, requests the latest window when mounted and missing
 * messages later, and repeats unanswered requests. `notes` maps types of unnumbered messages to functions. Requests
 * carry `filter()`, by which Python filters the whole history; `passes(row)` applies the same filter to new rows.
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
  #retryDelay = RETRY_DELAY;
  #filter;
  #passes;
  #oldest = 0; // first position in Python that passes
  #counted = -1; // last position that `fitting` counts

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

  /** Applies a changed filter: at once to the rows in the page, and by a request to the rest. */
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
    this.#sync.cancel = this.#scope.after(this.#retryDelay, () => {
      this.#retryDelay = Math.min(2 * this.#retryDelay, MAX_RETRY_DELAY);
      this.#synchronise(afresh);
    });
  }

  #earlier(id) {
    if (this.#page) return;
    this.#page = this.#ask("before", { id });
    this.#page.cancel = this.#scope.after(RETRY_DELAY, () => (this.#page = null));
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
    if (reply !== undefined && !request) return; // an answer to another view, or a late one
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

  /** Once an answer is complete, removes rows that it doesn't contain, since rows between might be missing. */
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
    this.#retryDelay = RETRY_DELAY;
    this.#sequence.reached(seq);
    this.#list.busy(false);
  }

  #count(answer, rows) {
    if (answer) {
      this.fitting = answer.fitting ?? 0;
      this.#counted = answer.newest ?? -1;
      rows = [...this.#list.entries()].map(({ row }) => row); // rows that arrived during the request
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
