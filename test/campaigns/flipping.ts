/**
 * Bodies, records, checksums and states that are damaged on disk, and what clients then get: the rounds of `flips.ts`.
 *
 * Each damage changes what `stat` says (nobody can put the time of the last change back), so `verify: 'first'` finds it in the process that
 * knew the body to be good. What leaves no trace at all is for `'always'`, or for the next process: test/cache/verify.test.ts.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockSums, encodeBlocks } from '../../lib/cache/blocks.ts';
import { decodeRecord } from '../../lib/cache/record.ts';
import { bytesOf } from '../../lib/contracts/cache/steps.ts';
import { Layout } from '../../lib/fs/layout.ts';
import { type CacheFilter, cacheFilter, FileCache } from '../../lib/index.ts';
import { asked, type Judgement, type Question, question } from './asking.ts';
import { DAMAGES, damage } from './damages.ts';
import { Random } from './random.ts';

const MIB = 2 ** 20;
const SIZES = [0, 1, 4095, 4096, 100_000, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 17, 5 * MIB];
const COPIES = 2;

const WHOLE: Question = { method: 'GET', ranges: [] };

/** Files of an entry, the ones that matter most oftener. */
const FILES = ['body', 'body', 'body', 'record', 'blocks', 'state'] as const;
type File = (typeof FILES)[number];

/** Who asks, and when the file is damaged. */
const TIMES = ['before', 'between processes', 'under a reader'] as const;

export interface FlipOptions {
  count: number;
  seed: number;
  /** Something that is to be found: `'size'` makes caches that check nothing but sizes. */
  plant?: 'size';
  /** Told of each thing that is not as it should be. */
  complain?: (line: string) => void;
}

export interface FlipResult {
  rounds: number;
  /** How often each file was damaged, by what. */
  damages: Record<string, number>;
  /** Answers to those who asked right after the damage. */
  answers: Record<Judgement['is'], number>;
  /** Rounds after which the application had been asked again. */
  healed: number;
  /** Wrong bytes that were delivered, broken off afterwards or not. */
  wrong: number;
  /** Rounds after which the entry was not as it should be. */
  unhealed: number;
}

/** Plays so many rounds. Whoever finds `wrong` and `unhealed` at 0 has not been let down. */
export async function flip({ count, seed, plant, complain = () => {} }: FlipOptions): Promise<FlipResult> {
  const house = new House(new Random(seed), plant);
  const result: FlipResult = {
    rounds: 0,
    damages: {},
    answers: { right: 0, broken: 0, wrong: 0 },
    healed: 0,
    wrong: 0,
    unhealed: 0,
  };
  try {
    await house.open();
    for (; result.rounds < count; result.rounds++) {
      const round = await house.round();
      const { file, kind, story, answers, after, healed } = round;
      const name = `${file} ${kind}`;
      result.damages[name] = (result.damages[name] ?? 0) + 1;
      if (healed) result.healed++;
      for (const answer of answers) {
        result.answers[answer.is]++;
        if (answer.is !== 'wrong') continue;
        result.wrong++;
        complain(`round ${result.rounds}: ${story}: ${answer.why}`);
      }
      if (after === undefined) continue;
      result.unhealed++;
      await house.renew(round.path);
      complain(`round ${result.rounds}: ${story}: afterwards ${after}`);
    }
  } finally {
    await house.close();
  }
  return result;
}

interface Round {
  path: string;
  file: File;
  kind: string;
  story: string;
  answers: Judgement[];
  /** The application was asked again. */
  healed: boolean;
  /** What is wrong in the end; undefined: nothing. */
  after: string | undefined;
}

/** A filter on a directory before an application, over a real socket. */
class House {
  readonly #random: Random;
  readonly #plant: FlipOptions['plant'];
  readonly #directory = mkdtempSync(join(tmpdir(), 'cache-filter-flips-'));
  readonly #layout = new Layout(this.#directory);
  readonly #bodies = new Map<string, Buffer>();
  readonly #server = createServer((req, res) => this.#answer(req, res));
  #cache!: FileCache;
  #filter!: CacheFilter;
  #mode = '';
  #calls = 0;

  constructor(random: Random, plant: FlipOptions['plant']) {
    this.#random = random;
    this.#plant = plant;
    for (let copy = 0; copy < COPIES; copy++)
      for (const size of SIZES) this.#bodies.set(`/${size}/${copy}`, bytesOf(size, size + copy));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.#begin();
    for (const path of this.#bodies.keys()) {
      await this.#whole(path);
      // A state of its own, to be damaged as well.
      if (this.#random.chance(0.5)) await this.#cache.pin(path, true);
    }
    await this.#filter.idle();
  }

  async close(): Promise<void> {
    await this.#end();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Does by hand what should have come about by itself. */
  async renew(path: string): Promise<void> {
    await this.#cache.invalidate({ key: path });
    await this.#whole(path);
    await this.#filter.idle();
  }

  async round(): Promise<Round> {
    const random = this.#random;
    const path = random.pick([...this.#bodies.keys()] as [string, ...string[]]);
    const body = this.#body(path);
    if (random.chance(0.3)) await this.#restart();
    // Known to be good then, and in memory or open, where the cache keeps it there.
    const warm = random.chance(0.6);
    if (warm) for (let i = 0; i < 2; i++) await this.#whole(path);

    const files = FILES.filter((file) => existsSync(this.#place(path, file)));
    const file = random.pick(files as [File, ...File[]]);
    const kind = random.pick(DAMAGES);
    const when = random.pick(TIMES);
    const [calls, mode] = [this.#calls, this.#mode];
    let done = 'nothing';
    const inflict = () => {
      done = damage(this.#place(path, file), kind, random, random.chance(0.5));
    };
    const answers: Judgement[] = [];
    if (when === 'under a reader') {
      // One that has no byte to wait for is not interrupted.
      let late = true;
      const meanwhile = () => {
        late = false;
        inflict();
      };
      answers.push(await this.#ask(path, { method: 'GET', ranges: [] }, meanwhile));
      if (late) inflict();
    } else if (when === 'between processes') {
      await this.#end();
      inflict();
      this.#begin();
    } else inflict();

    const clients = random.pick([1, 1, 1, 3]);
    const questions = Array.from({ length: clients }, () => question(body.length, random));
    answers.push(...(await Promise.all(questions.map((each) => this.#ask(path, each)))));
    const asking = questions
      .map(({ method, ranges }) => `${method} ${ranges.map((range) => range.join('-')).join(',')}`.trim())
      .join(' and ');
    const story = `${path} ${warm ? 'warm' : 'cold'}, ${mode}, ${file}: ${done}, ${when}; then ${asking}`;
    const after = await this.#aftermath(path, file, calls);
    return { path, file, kind, story, answers, after, healed: this.#calls > calls };
  }

  /** Whether a later process serves the entry as it should be, and from the disk. */
  async #aftermath(path: string, file: File, calls: number): Promise<string | undefined> {
    await this.#filter.idle();
    await this.#restart();
    // The first may break off, where the damage is not at the beginning.
    let answer = await this.#ask(path);
    if (answer.is === 'broken') answer = await this.#ask(path);
    if (answer.is !== 'right') return answer.is === 'wrong' ? answer.why : 'it is broken off again and again';
    await this.#filter.idle();
    const hit = await this.#ask(path);
    if (hit.is !== 'right' || !hit.hit) return 'it is not served from the cache';
    const again = this.#calls - calls;
    const needed = file === 'body' || file === 'record';
    if (needed !== again > 0) return `the application was asked ${again} times`;
    const body = this.#body(path);
    if (!readFileSync(this.#place(path, 'body')).equals(body)) return 'the body on disk is not what it was';
    const sums = new BlockSums();
    sums.update(body);
    const blocks = this.#place(path, 'blocks');
    const right = body.length <= MIB || readFileSync(blocks).equals(encodeBlocks(body.length, sums.all()));
    return right ? undefined : 'its checksums are not what they were';
  }

  #body(path: string): Buffer {
    return this.#bodies.get(path) ?? Buffer.alloc(0);
  }

  /** Where a file of the entry is. */
  #place(path: string, file: File): string {
    const name = this.#layout.name(path, undefined);
    const record = this.#layout.record(name);
    if (file === 'record') return record;
    const fill = decodeRecord(readFileSync(record))?.fill;
    if (fill === undefined) throw new Error(`the record of ${path} is damaged`);
    return this.#layout[file](name, fill);
  }

  async #whole(path: string): Promise<void> {
    const answer = await this.#ask(path);
    if (answer.is !== 'right') throw new Error(`${path} is ${answer.is} before anything was done to it`);
  }

  #ask(path: string, what: Question = WHOLE, meanwhile?: () => void): Promise<Judgement> {
    return asked((this.#server.address() as AddressInfo).port, path, what, this.#body(path), meanwhile);
  }

  #begin(): void {
    const random = this.#random;
    const verify = this.#plant ?? random.pick(['first', 'first', 'always']);
    const memory = random.pick([undefined, undefined, false, { maxEntryBytes: 0 }] as const);
    this.#mode = `verify ${verify}${memory === undefined ? '' : `, memory ${JSON.stringify(memory)}`}`;
    this.#cache = new FileCache({
      directory: this.#directory,
      minFreeBytes: 0,
      logger: false,
      verify,
      ...(memory === undefined ? {} : { memory }),
    });
    this.#filter = cacheFilter({ cache: this.#cache, freshness: 'immutable' });
  }

  async #end(): Promise<void> {
    await this.#filter?.close();
    await this.#cache?.close();
  }

  async #restart(): Promise<void> {
    await this.#end();
    this.#begin();
  }

  #answer(req: IncomingMessage, res: ServerResponse): void {
    this.#filter(req, res, () => {
      this.#calls++;
      const body = this.#body(req.url ?? '');
      res.setHeader('Content-Length', body.length);
      res.setHeader('Content-Type', 'application/octet-stream');
      res.end(req.method === 'HEAD' ? undefined : body);
    });
  }
}
