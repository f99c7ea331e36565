/**
 * A client of registries, in a process of its own: plain sockets and just enough HTTP, so that it costs less than the servers it measures.
 *
 * Asked by messages `{ id, ask, port, repository, … }`; each answer is in seconds:
 * - `push`, with `sizes`, `seed` and `connections`: blobs of random bytes, each by POST, PATCH and PUT as docker does
 * - `pull`, with `sizes`, `seed`, `connections` and `times`: the same blobs, each so many times
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';

const PIECE = Buffer.allocUnsafe(4 * 2 ** 20);
for (let i = 0, word = 0x12345678; i < PIECE.length; i += 4) {
  // xorshift: nothing that compresses.
  word ^= word << 13;
  word ^= word >>> 17;
  word ^= word << 5;
  PIECE.writeInt32LE(word | 0, i);
}

/** Blobs that differ in their first bytes. */
function blobs({ sizes, seed }) {
  return sizes.map((size, i) => {
    const mark = Buffer.from(`${seed} ${i} `.padEnd(16).slice(0, Math.min(16, size)));
    const hash = createHash('sha256');
    for (const piece of pieces({ size, mark })) hash.update(piece);
    return { size, mark, digest: `sha256:${hash.digest('hex')}` };
  });
}

function* pieces({ size, mark }) {
  yield mark;
  for (let left = size - mark.length; left > 0; left -= PIECE.length)
    yield PIECE.subarray(0, Math.min(left, PIECE.length));
}

/** One connection, one request at a time. */
class Connection {
  #socket;
  #port;
  #head = '';
  #left = 0;
  #settle;

  static async to(port) {
    const connection = new Connection();
    connection.#port = port;
    const buffer = Buffer.allocUnsafe(256 * 1024);
    const onread = { buffer, callback: (length) => connection.#read(buffer.subarray(0, length)) };
    connection.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread });
    connection.#socket.on('close', () => connection.#settle?.reject(new Error('the connection was closed')));
    await once(connection.#socket, 'connect');
    return connection;
  }

  /** @returns status and Location of the answer, once its body has come */
  async ask(method, path, { size = 0, body = [] } = {}) {
    const answered = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    const length = method === 'GET' ? '' : `Content-Length: ${size}\r\n`;
    const type = size > 0 ? 'Content-Type: application/octet-stream\r\n' : '';
    this.#socket.write(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n${length}${type}\r\n`);
    for (const piece of body) if (!this.#socket.write(piece)) await once(this.#socket, 'drain');
    return answered;
  }

  close() {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #read(bytes) {
    let at = 0;
    if (this.#left === 0) {
      this.#head += bytes.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return true;
      at = bytes.length - (this.#head.length - end - 4);
      const head = this.#head.slice(0, end);
      this.#head = '';
      this.status = Number(head.slice(9, 12));
      this.location = /^location: (.*)$/im.exec(head)?.[1]?.trim();
      this.#left = this.status === 204 ? 0 : Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    }
    this.#left -= bytes.length - at;
    if (this.#left === 0) this.#settle?.resolve({ status: this.status, location: this.location });
    return true;
  }

  end() {
    this.#socket.end();
  }
}

function expect(what, { status }, wanted) {
  if (status !== wanted) throw new Error(`${what}: ${status} instead of ${wanted}`);
}

async function each(list, port, connections, act) {
  const rest = list.values();
  const one = async () => {
    const connection = await Connection.to(port);
    for (const item of rest) await act(connection, item);
    connection.close();
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: connections }, one));
  return (performance.now() - begun) / 1000;
}

const ASKS = {
  push({ port, repository, connections, ...which }) {
    return each(blobs(which), port, connections, async (connection, blob) => {
      const begun = await connection.ask('POST', `/v2/${repository}/blobs/uploads/`);
      expect('POST', begun, 202);
      const path = pathOf(begun.location);
      const sent = await connection.ask('PATCH', path, { size: blob.size, body: pieces(blob) });
      expect('PATCH', sent, 202);
      const last = pathOf(sent.location);
      const separator = last.includes('?') ? '&' : '?';
      expect('PUT', await connection.ask('PUT', `${last}${separator}digest=${blob.digest}`), 201);
    });
  },
  pull({ port, repository, connections, times, ...which }) {
    const all = Array.from({ length: times }, () => blobs(which)).flat();
    return each(all, port, connections, async (connection, { digest }) => {
      expect('GET', await connection.ask('GET', `/v2/${repository}/blobs/${digest}`), 200);
    });
  },
};

function pathOf(location) {
  return location.startsWith('/') ? location : location.replace(/^https?:\/\/[^/]+/, '');
}

process.on('message', async ({ id, ask, ...target }) => {
  try {
    process.send({ id, answer: await ASKS[ask](target) });
  } catch (error) {
    process.send({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
