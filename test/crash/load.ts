/** What many clients do to the servers of a campaign at the same time. */
import type { Seeded } from '../support/seeded.ts';
import { sizeOf } from './body.ts';
import type { Book } from './book.ts';
import { Client } from './client.ts';
import type { ServerProcess } from './process.ts';

const FAULTS = ['cut', 'short', 'long', 'stall', 'throw'];

/** Clients, each of which does one thing after the other. */
const CLIENTS = 8;

const PATHS = Array.from(
  { length: 40 },
  (_, i) => `/${i % 5 === 4 ? 'brief' : i % 5 === 3 ? 'still' : 'keep'}/${i}`,
);

/** Whose origin breaks off now and then, for whoever reads along too. */
const CUT = PATHS.map((path) => `${path}-cut`)
  .filter((path) => path.startsWith('/keep/') && sizeOf(path) > 100_000)
  .slice(0, 4);

/** Few and small: everything else has to find room beside them. */
const PINNABLE = PATHS.filter((path) => sizeOf(path) < 10_000).slice(0, 6);

const DEEDS = {
  whole: 46,
  range: 20,
  head: 4,
  purge: 8,
  leave: 6,
  cut: 8,
  pin: 8,
  unpin: 3,
  queue: 4,
  clean: 1,
  prune: 2,
};

/** Whether an answer of this server, for this path, with this Cache-Status, may break off. */
type MayBreakOff = (server: ServerProcess, path: string, said: string) => boolean;

export class Load {
  readonly book: Book;
  readonly #random: Seeded;
  readonly #pinning = new Set<string>();
  #version = 0;

  constructor(book: Book, random: Seeded) {
    this.book = book;
    this.#random = random;
  }

  /** How many requests of which kind were answered to their end. */
  readonly answered = { hits: 0, fills: 0, collapsed: 0, purges: 0, others: 0 };

  /** Goes on until it is stopped. */
  start(
    servers: readonly ServerProcess[],
    mayBreakOff: MayBreakOff,
    clients = CLIENTS,
  ): { stop(): Promise<void> } {
    let stopped = false;
    const client = new Map(servers.map((server) => [server, new Client(this.book, () => server.port)]));
    const loops = Array.from({ length: clients }, async () => {
      while (!stopped) {
        const server = this.#random.pick(servers.filter(({ isAlive }) => isAlive));
        if (server === undefined) return;
        await this.#one(server, client.get(server) as Client, mayBreakOff, () => stopped);
      }
    });
    return {
      stop: async () => {
        stopped = true;
        await Promise.all(loops);
        for (const each of client.values()) each.close();
      },
    };
  }

  /**
   * Reads everything that may be there, without the origin: what is there is right, and what was promised is there. Resolves early where
   * the server comes to the step that it is to end at.
   */
  async check(server: ServerProcess): Promise<void> {
    const { book } = this;
    const client = new Client(book, () => server.port);
    const stored = new Set(book.stored);
    const look = async (path: string) => {
      const { status, said, complete } = await client.get(path);
      if ((status === 0 || !complete) && (await server.endsSoon())) return;
      if (stored.has(path) && !(status === 200 && said.includes('; hit'))) {
        book.fault(`LOST: ${path} was stored, and is answered with ${status} (${said})`);
      }
      if (status === 0 || !complete) book.fault(`${path}: the answer breaks off (${status}, ${said})`);
      const size = sizeOf(path);
      const start = this.#random.below(size);
      const Range = `bytes=${start}-${start + this.#random.below(size - start)}`;
      if (status === 200) await client.get(path, { headers: { Range } });
    };
    await Promise.all(PATHS.map(look));
    for (const path of book.pins) {
      const isPinned = await server.tell('isPinned', path).catch(() => undefined);
      if (isPinned === false) book.fault(`LOST: the pin of ${path}`);
    }
    client.close();
  }

  async #one(
    server: ServerProcess,
    client: Client,
    mayBreakOff: MayBreakOff,
    isStopped: () => boolean,
  ): Promise<void> {
    const random = this.#random;
    const path = PATHS[Math.floor(random.next() ** 1.5 * PATHS.length)] as string;
    const size = sizeOf(path);
    // What never changes can be gone on with by another process; of everything else each answer is a version of its own.
    const next = { 'X-Next': path.startsWith('/still/') ? '1' : String(++this.#version) };
    const deed = random.weighed(DEEDS);
    switch (deed) {
      case 'whole':
      case 'range': {
        const start = random.below(size);
        const Range = random.pick([`bytes=${start}-`, `bytes=-${start + 1}`, `bytes=${start}-${start + 10}`]);
        const headers = deed === 'whole' ? next : { ...next, Range };
        const { status, said, complete } = await client.get(path, { headers });
        const isRefused = status === 0 && isStopped();
        if ((status === 0 || !complete) && !isRefused && !mayBreakOff(server, path, said)) {
          this.book.fault(`${path}: the answer breaks off (${status}, ${said})`);
        }
        if (complete) this.answered[kindOf(said)]++;
        return;
      }
      case 'head':
        await client.get(path, { method: 'HEAD', headers: next });
        return;
      case 'leave':
        await client.get(path, { headers: next, leaveAt: random.below(size) });
        return;
      case 'cut':
        await client.get(random.pick(CUT), {
          headers: {
            'X-Next': String(++this.#version),
            ...(random.below(4) > 0 ? { 'X-Fault': random.pick(FAULTS) } : {}),
          },
        });
        return;
      case 'purge':
        // What came whole in the end is asked for anew, or nothing would break off any more.
        await client.purge(random.below(4) === 0 ? random.pick(CUT) : path);
        this.answered.purges++;
        return;
      default:
        // It may end before it answers.
        await this.#tell(server, deed, path).catch(() => undefined);
    }
  }

  async #tell(
    server: ServerProcess,
    deed: 'pin' | 'unpin' | 'queue' | 'clean' | 'prune',
    path: string,
  ): Promise<void> {
    const { book } = this;
    const chosen = this.#random.pick(PINNABLE);
    if (deed === 'pin' || deed === 'unpin') {
      // One at a time, or nobody knows which was the last.
      if (this.#pinning.has(chosen)) return;
      this.#pinning.add(chosen);
      try {
        const asking = book.begin(chosen);
        if (deed === 'unpin') book.unpinned(chosen);
        const count = await server.tell('pin', chosen, deed === 'pin');
        if (deed === 'pin') book.pinned(asking, count);
      } finally {
        this.#pinning.delete(chosen);
      }
    } else if (deed === 'queue') await server.tell('queue', path);
    else if (deed === 'clean') await server.tell('clean');
    else if (book.tight) await server.tell('prune', 2 ** 20);
  }
}

function kindOf(said: string): keyof Load['answered'] {
  if (said.includes('; hit')) return 'hits';
  if (said.includes('; collapsed')) return 'collapsed';
  return said.includes('; stored') ? 'fills' : 'others';
}
