/**
 * Clients of a download that is under way, in a process of their own: each with its own connection, its own pace and its own moment.
 * Asked by a message `{ id, ask: 'fly', port, actors }`; answers with what came to each connection, and when (milliseconds since the epoch).
 *
 * @typedef {object} Actor
 * @property {string} url
 * @property {number} size of the whole body
 * @property {{ start: number, end: number }} [range] of it, half-open
 * @property {number} [count] so many do the same; default 1
 * @property {number} [after] begins when the first connection of the first actor has so many bytes of its body; default 0
 * @property {number} [bytesPerSecond] reads no faster than this
 * @property {number} [leaves] ends the connection when it has so many bytes
 * @property {boolean} [waited] whether the flight lasts until it has ended; default true
 * @property {number} [sampleMs] notes how far it has got, so often
 * @property {boolean} [hashed] whether to hash what came
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

/** Shared by all: a read is counted before the next one begins. */
const buffer = Buffer.allocUnsafe(256 * 1024);
const HEAD_END = '\r\n\r\n';

/** Below this a timer is not worth it. */
const LEAST_WAIT_MS = 2;

const now = () => performance.timeOrigin + performance.now();

/** One request. */
class Flight {
  #actor;
  #port;
  #moved;
  #socket;
  #head = '';
  #inBody = false;
  #expected;
  #hash;
  #settle;
  #begun = 0;
  /** What is told of it. */
  flown;
  ended = new Promise((resolve, reject) => {
    this.#settle = { resolve, reject };
  });

  /** @param {() => void} moved called as bytes come */
  constructor(actor, index, port, moved) {
    this.#actor = actor;
    this.#port = port;
    this.#moved = moved;
    const { start, end } = actor.range ?? { start: 0, end: actor.size };
    this.#expected = end - start;
    this.#hash = actor.hashed ? createHash('sha256') : undefined;
    this.flown = { actor: index, asked: 0, first: undefined, ended: undefined, bytes: 0, samples: [] };
    this.ended.catch(() => undefined);
  }

  async connect() {
    await new Promise((resolve, reject) => {
      this.#socket = connect({
        port: this.#port,
        host: '127.0.0.1',
        noDelay: true,
        onread: { buffer, callback: (length) => this.#read(length) },
      });
      this.#socket.once('connect', resolve).once('error', reject);
    });
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.on('close', () =>
      this.#fail(`the connection was closed at ${this.flown.bytes} of ${this.#expected} bytes`),
    );
  }

  begin() {
    const { url, range } = this.#actor;
    const fields = [`Host: 127.0.0.1:${this.#port}`];
    if (range !== undefined) fields.push(`Range: bytes=${range.start}-${range.end - 1}`);
    this.flown.asked = now();
    this.#begun = performance.now();
    this.#socket.write(`GET ${url} HTTP/1.1\r\n${fields.join('\r\n')}${HEAD_END}`);
  }

  leave() {
    this.#settle.resolve();
    this.#socket?.destroy();
  }

  #read(length) {
    const from = this.#inBody ? 0 : this.#readHead(length);
    if (from === -1) return false;
    if (from === length) return true;
    const { flown } = this;
    flown.first ??= now();
    flown.bytes += length - from;
    this.#hash?.update(buffer.subarray(from, length));
    this.#sample();
    this.#moved();
    if (flown.bytes > this.#expected)
      return this.#fail(`${flown.bytes - this.#expected} bytes came after the response had ended`);
    if (flown.bytes === this.#expected) {
      flown.ended = now();
      flown.sha256 = this.#hash?.digest('hex');
      this.#sample(true);
      this.leave();
      return false;
    }
    if (flown.bytes >= (this.#actor.leaves ?? Number.POSITIVE_INFINITY)) {
      this.#sample(true);
      this.leave();
      return false;
    }
    return this.#keepPace();
  }

  /** Where the body begins in what was read, or -1 if the head was wrong. */
  #readHead(length) {
    const before = this.#head.length;
    this.#head += buffer.latin1Slice(0, Math.min(length, 16 * 1024));
    const end = this.#head.indexOf(HEAD_END);
    if (end === -1) return length;
    const status = this.#actor.range === undefined ? 200 : 206;
    const line = this.#head.slice(0, this.#head.indexOf('\r\n'));
    const declared = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end))?.[1]);
    if (!line.startsWith(`HTTP/1.1 ${status} `)) this.#fail(`expected status ${status}, got ${line}`);
    else if (declared !== this.#expected)
      this.#fail(`expected Content-Length ${this.#expected}, got ${declared}`);
    else {
      this.#inBody = true;
      return end + HEAD_END.length - before;
    }
    return -1;
  }

  #keepPace() {
    const { bytesPerSecond } = this.#actor;
    if (bytesPerSecond === undefined) return true;
    const early = this.#begun + (this.flown.bytes / bytesPerSecond) * 1000 - performance.now();
    if (early < LEAST_WAIT_MS) return true;
    setTimeout(() => this.#socket.resume(), early);
    return false;
  }

  #sample(always = false) {
    const { sampleMs } = this.#actor;
    if (sampleMs === undefined) return;
    const { samples, bytes } = this.flown;
    const at = now();
    if (always || at - (samples.at(-1)?.[0] ?? 0) >= sampleMs) samples.push([at, bytes]);
  }

  #fail(message) {
    this.#settle.reject(new Error(`${this.#actor.url}: ${message}`));
    this.#socket.destroy();
    return false;
  }
}

async function fly({ port, actors }) {
  const flights = [];
  let waiting = [];
  const moved = () => {
    const { bytes } = flights[0].flown;
    if (waiting.length === 0 || bytes < waiting[0].after) return;
    const due = waiting.filter(({ after }) => bytes >= after);
    waiting = waiting.filter(({ after }) => bytes < after);
    for (const { flight } of due) flight.begin();
  };
  const starting = [];
  for (const [index, actor] of actors.entries()) {
    for (let i = 0; i < (actor.count ?? 1); i++) {
      const flight = new Flight(actor, index, port, moved);
      flights.push(flight);
      if (actor.after === undefined) starting.push(flight);
      else waiting.push({ after: actor.after, flight });
    }
  }
  waiting.sort((a, b) => a.after - b.after);
  // Connected beforehand: it is the answer that is timed.
  await Promise.all(flights.map((flight) => flight.connect()));
  for (const flight of starting) flight.begin();
  try {
    await Promise.all(
      flights.filter(({ flown }) => actors[flown.actor].waited !== false).map(({ ended }) => ended),
    );
  } finally {
    for (const flight of flights) flight.leave();
  }
  return flights.map(({ flown }) => flown);
}

process.on('message', async ({ id, port, actors }) => {
  try {
    process.send?.({ id, answer: await fly({ port, actors }) });
  } catch (error) {
    process.send?.({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ ready: {} });
