/**
 * The client, in a process of its own: plain sockets and just enough HTTP, so that it costs less than the servers it measures.
 * Each response has to be a 200 with the Content-Length that was expected, and has to have that many bytes.
 *
 * Asked by messages `{ id, ask, ...target }`, with a target of `{ port, url, size }`:
 * - `load`, with `connections` and `milliseconds`: requests one after the other on each connection
 * - `digest`: one request, and the SHA-256 of its body in hex
 * - `together`, with `clients`: that many requests at once, until all have ended
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

/** What a read takes at most. Shared by all connections: a read is counted before the next one begins. */
const buffer = Buffer.allocUnsafe(256 * 1024);
const HEAD_END = '\r\n\r\n';

/** Requests one after the other on one connection, for as long as there are to be more. */
class Connection {
  #socket;
  #target;
  #request;
  #observe;
  /** Of the head that is being read. */
  #head = '';
  /** Bytes of the body that are still to come; undefined between bodies. */
  #left;
  #more;
  #settle;
  /** Settles when the last response has ended, or when something was wrong. */
  ended = new Promise((resolve, reject) => {
    this.#settle = { resolve, reject };
  });

  /**
   * @param {{ port: number, url: string, size: number }} target
   * @param {(bytes: Buffer) => void} observe called with each piece of a body
   */
  constructor(target, observe) {
    this.#target = target;
    this.#observe = observe;
    this.#request = `GET ${target.url} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\n\r\n`;
    this.connected = new Promise((resolve, reject) => {
      this.#socket = connect({
        port: target.port,
        host: '127.0.0.1',
        noDelay: true,
        onread: { buffer, callback: (length) => this.#read(length) },
      });
      this.#socket.once('connect', resolve).once('error', reject);
    });
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.on('close', () => this.#fail('the connection was closed before the response had ended'));
  }

  /** @param {() => boolean} more asked after each response */
  begin(more) {
    this.#more = more;
    this.#socket.write(this.#request);
  }

  #read(length) {
    let at = 0;
    while (at < length) {
      if (this.#left === undefined) {
        at = this.#readHead(at, length);
        if (at === -1) return false;
        if (this.#left === undefined) return true;
      }
      const end = Math.min(length, at + this.#left);
      if (end > at) this.#observe(buffer.subarray(at, end));
      this.#left -= end - at;
      at = end;
      if (this.#left > 0) return true;
      this.#left = undefined;
      if (at < length) return this.#fail(`${length - at} bytes came after the response had ended`);
      if (this.#more()) this.#socket.write(this.#request);
      else this.#end();
    }
    return true;
  }

  /** Where the body begins, the end of what was read if it is not there yet, or -1 if the head was wrong. */
  #readHead(from, length) {
    const before = this.#head.length;
    this.#head += buffer.latin1Slice(from, Math.min(length, from + 16 * 1024));
    const end = this.#head.indexOf(HEAD_END);
    if (end === -1) return length;
    const head = this.#head.slice(0, end);
    this.#head = '';
    const { size } = this.#target;
    if (!head.startsWith('HTTP/1.1 200 ')) {
      this.#fail(`expected status 200, got ${head.slice(0, head.indexOf('\r\n'))}`);
      return -1;
    }
    const declared = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (Number(declared) !== size) {
      this.#fail(`expected Content-Length ${size}, got ${declared ?? 'none'}`);
      return -1;
    }
    this.#left = size;
    return from + end + HEAD_END.length - before;
  }

  #end() {
    this.#settle.resolve();
    this.#socket.destroy();
  }

  #fail(message) {
    this.#settle.reject(new Error(message));
    this.#socket.destroy();
    return false;
  }
}

/** Connected, and nothing asked yet. */
async function open(count, target, observe) {
  const connections = Array.from({ length: count }, () => new Connection(target, observe));
  for (const { ended } of connections) ended.catch(() => undefined);
  await Promise.all(connections.map(({ connected }) => connected));
  return connections;
}

const ANSWERS = {
  async load({ connections: count, milliseconds, ...target }) {
    let bytes = 0;
    const connections = await open(count, target, (piece) => {
      bytes += piece.length;
    });
    let running = true;
    const before = process.cpuUsage();
    const begun = performance.now();
    for (const connection of connections) connection.begin(() => running);
    let timer;
    const window = new Promise((resolve) => {
      const end = () => {
        // On a machine that is busy elsewhere; nothing can be said about nothing.
        if (bytes < target.size) {
          timer = setTimeout(end, milliseconds);
          return;
        }
        const { user, system } = process.cpuUsage(before);
        running = false;
        resolve({ seconds: (performance.now() - begun) / 1000, bytes, clientCpu: (user + system) / 1e6 });
      };
      timer = setTimeout(end, milliseconds);
    });
    // What is under way when the time is up is waited for: the server has its cost, so it counts there.
    await Promise.all(connections.map(({ ended }) => ended)).catch((error) => {
      clearTimeout(timer);
      throw error;
    });
    return { ...(await window), allBytes: bytes, allSeconds: (performance.now() - begun) / 1000 };
  },

  async digest(target) {
    const hash = createHash('sha256');
    const [connection] = await open(1, target, (piece) => hash.update(piece));
    connection.begin(() => false);
    await connection.ended;
    return hash.digest('hex');
  },

  async together({ clients, ...target }) {
    const connections = await open(clients, target, () => undefined);
    const before = process.cpuUsage();
    const begun = performance.now();
    for (const connection of connections) connection.begin(() => false);
    await Promise.all(connections.map(({ ended }) => ended));
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(before);
    return { seconds, clientCpu: (user + system) / 1e6 };
  },
};

process.on('message', async ({ id, ask, ...target }) => {
  try {
    process.send?.({ id, answer: await ANSWERS[ask](target) });
  } catch (error) {
    process.send?.({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ ready: {} });
