// A view's end of a FeedWidget: numbered rows from Python, asked for again where some are missing.

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
 * repeats what stays unanswered. `notes` maps the types of unnumbered messages to functions.
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

  constructor({ scope, model, list, notes = {} }) {
    this.#scope = scope;
    this.#model = model;
    this.#list = list;
    list.onEarlier = (id) => this.#earlier(id);
    list.busy(true);
    scope.subscribe(model, "msg:custom", (message) => {
      if (message?.type === "rows") this.#rows(message);
      else if (message?.type === "mark") this.#mark(message);
      else notes[message?.type]?.(message);
    });
    this.#synchronise();
  }

  #ask(type, fields) {
    const request = { id: `${this.#view}-${++this.#requests}`, parts: new Set() };
    this.#model.send({ type, request: request.id, ...fields });
    return request;
  }

  #synchronise() {
    const after = this.#sequence.last;
    this.#sync = after === null ? this.#ask("ready") : this.#ask("missed", { after });
    this.#sync.cancel = this.#scope.after(this.#patience, () => {
      this.#patience = Math.min(2 * this.#patience, ASK_AGAIN_MAX);
      this.#synchronise();
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
    if (request && message.replay && request.parts.size === 0) this.#list.clear(); // rows between may be missing
    this.#list.show(rows, oldest, request !== undefined && (request === this.#page || message.replay));
    if (request) this.#answered(request, message);
    else this.#sequence.saw(seq);
    this.#mend();
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

  #mend() {
    if (!this.#sync && !this.#sequence.complete) this.#synchronise();
  }
}
