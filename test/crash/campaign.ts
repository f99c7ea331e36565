/** Ends servers in the middle of what they do, and looks what is left: `npm run test:crash`. */
import { existsSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMissing } from '../../lib/fs/files.ts';
import { problemsOf } from '../support/invariants.ts';
import { Seeded } from '../support/seeded.ts';
import { Book } from './book.ts';
import { Load } from './load.ts';
import { type ServerOptions, ServerProcess } from './process.ts';

const MIB = 2 ** 20;

/** Of each variant, to find out which steps there are; in milliseconds. */
const SURVEY_MS = 700;

/** What has to be among them is waited for, in milliseconds. */
const PATIENCE_MS = 30_000;

/** A step that the load does not come to within this is let go, in milliseconds. */
const REACH_MS = 2_500;

/** Steps that the load must come to, or a campaign says less than it seems to. */
const REQUIRED = [
  'create incomplete/claim',
  'write incomplete/claim',
  'create incomplete/body',
  'writev incomplete/body',
  'rename entries/body',
  'rename entries/json',
  'rename incomplete/gone',
  'unlink incomplete/gone',
  'unlink entries/body',
  'unlink incomplete/claim',
  'create entries/state',
  'sync entries/state',
  'create queue/json',
  'unlink queue/json',
  'rename invalid/body',
  'rename invalid/json',
];

export interface CampaignOptions {
  /** How many processes are ended. */
  count: number;
  seed: number;
  /** Where the caches are for the time being. */
  directory: string;
  /** Breaks one thing, as plants.mjs has it. */
  plant?: string;
  /** How many at a time on one directory; by default first one, then two. */
  processes?: 1 | 2;
  /** Two variants of the options in place of four. */
  short?: boolean;
  /** Not at chosen steps, only at random. */
  blind?: boolean;
  say?(line: string): void;
}

export interface CampaignResult {
  /** How often a process was ended at each step; those at a random moment as `at random`. */
  kills: Record<string, number>;
  /** Steps that were aimed at and not come to. */
  missed: string[];
  stops: number;
  answered: Load['answered'];
  faults: string[];
}

/** Ends at the first thing that is wrong: what comes after it would only be its consequence. */
export async function campaign(options: CampaignOptions): Promise<CampaignResult> {
  const run = new Campaign(options);
  await run.all();
  return run.result;
}

interface Point {
  step: string;
  /** How often it was seen in a short time, with each of the variants. */
  counts: number[];
}

class Campaign {
  readonly #options: CampaignOptions;
  readonly #random: Seeded;
  readonly #load: Load;
  readonly #book = new Book();
  readonly #kills: Record<string, number> = {};
  readonly #missed: string[] = [];
  /** What is to be come to. */
  #points: Point[] = [];
  #aimed = 0;
  #ended = 0;
  #stops = 0;

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#random = new Seeded(options.seed);
    this.#load = new Load(this.#book, this.#random);
  }

  get result(): CampaignResult {
    const { faults } = this.#book;
    const { answered } = this.#load;
    return { kills: this.#kills, missed: this.#missed, stops: this.#stops, answered, faults };
  }

  async all(): Promise<void> {
    const { count } = this.#options;
    if (this.#options.blind !== true) await this.#survey();
    const { processes } = this.#options;
    if (processes !== 2) await this.#alone(processes === 1 ? count : Math.ceil((count * 3) / 5));
    if (processes !== 1) await this.#together(count, 'roomy');
  }

  /** Which steps there are. The processes stop cleanly. */
  async #survey(): Promise<void> {
    const seen = new Map<string, number[]>();
    for (const [i, options] of this.#variants('alone').entries()) {
      const server = await this.#start(options);
      if (server === undefined || this.#isOver) return;
      const load = this.#load.start([server], () => false);
      const isLast = i === this.#variants('').length - 1;
      const lacking = () => REQUIRED.filter((step) => !seen.has(`before ${step}`));
      for (let waited = 0; waited < SURVEY_MS || (isLast && lacking().length > 0 && waited < PATIENCE_MS); ) {
        await sleep(SURVEY_MS);
        waited += SURVEY_MS;
        for (const [step, count] of Object.entries(await server.tell('points'))) {
          const counts = seen.get(step) ?? [];
          counts[i] = count;
          seen.set(step, counts);
        }
      }
      if (isLast) for (const step of lacking()) this.#book.fault(`the load never came to ${step}`);
      await this.#stop(server, load, options);
      this.#options.say?.(`survey ${i + 1}: ${seen.size} steps so far`);
    }
    this.#points = [...seen].map(([step, counts]) => ({ step, counts }));
    for (let i = this.#points.length - 1; i > 0; i--) {
      const j = this.#random.below(i + 1);
      [this.#points[i], this.#points[j]] = [this.#points[j], this.#points[i]] as [Point, Point];
    }
  }

  /** One process at a time: ended, and followed by the next. */
  async #alone(until: number): Promise<void> {
    const variants = this.#variants('alone');
    while (this.#ended < until && !this.#isOver) {
      if (this.#random.below(12) === 0) {
        const options = this.#random.pick(variants);
        const server = await this.#start(options);
        if (server === undefined) return;
        const load = this.#load.start([server], () => false);
        await sleep(this.#random.below(300));
        await this.#stop(server, load, options);
        continue;
      }
      const { crashAt, variant } = this.#aim();
      const options = variants[variant] as ServerOptions;
      const server = await this.#start(options, crashAt);
      if (server === undefined) this.#count(crashAt);
      else {
        const load = this.#load.start([server], () => true);
        await this.#end(server, crashAt);
        await load.stop();
      }
      this.#age(options);
    }
  }

  /** Two on one directory: the one is ended, the other goes on. */
  async #together(until: number, name: string): Promise<void> {
    this.#book.turn();
    const [options] = this.#variants(name) as [ServerOptions];
    let survivor = await this.#start(options);
    while (this.#ended < until && !this.#isOver && survivor !== undefined) {
      const { crashAt } = this.#aim(0);
      const victim = await this.#start(options, crashAt);
      if (victim === undefined) {
        this.#count(crashAt);
        this.#age(options);
        continue;
      }
      if (this.#isOver) {
        await victim.kill();
        break;
      }
      const load = this.#load.start([survivor, victim], (server, path, said) => {
        // Where nothing has changed the survivor goes on in its place.
        const isGoneOnWith = path.startsWith('/still/') || !said.includes('; collapsed');
        return server === victim || !isGoneOnWith;
      });
      await this.#end(victim, crashAt);
      await sleep(50);
      await load.stop();
      await survivor.tell('idle');
      this.#age(options);
      // The next to be ended is the one that has gone on so far.
      const fresh = await this.#start(options);
      if (fresh === undefined) break;
      await this.#load.check(survivor);
      await survivor.kill();
      this.#age(options);
      survivor = fresh;
    }
    await survivor?.kill();
  }

  /** After its scan, and before anybody else does anything: everything is in order, and what was promised is there. */
  async #start(options: ServerOptions, crashAt = ''): Promise<ServerProcess | undefined> {
    this.#book.tight = (options.maxBytes ?? 0) < 100 * MIB;
    if (this.#book.tight) this.#book.squeezed();
    const server = await ServerProcess.start(options, { crashAt, plant: this.#options.plant ?? '' });
    if (server === undefined) return undefined;
    const stats = await server.tell('stats').catch(() => undefined);
    if (stats === undefined) return server;
    for (const problem of problemsOf(options.directory, stats))
      this.#book.fault(`after the start: ${problem}`);
    await this.#load.check(server);
    return server;
  }

  async #end(server: ServerProcess, crashAt: string): Promise<void> {
    if (crashAt === '') {
      await sleep(20 + this.#random.below(500));
      await server.kill();
      this.#count('');
      return;
    }
    const reached = await Promise.race([
      server.ended.then(() => true),
      sleep(REACH_MS, false, { ref: false }),
    ]);
    await server.kill();
    this.#count(reached ? crashAt : '');
    if (!reached) this.#missed.push(crashAt);
  }

  /** As a process manager stops it, under load. */
  async #stop(server: ServerProcess, load: { stop(): Promise<void> }, options: ServerOptions): Promise<void> {
    const stopping = load.stop();
    const how = await server.stop();
    await stopping;
    this.#stops++;
    if (how !== '0') this.#book.fault(`told to stop, the server ended with ${how}: ${server.complaints}`);
    for (const problem of problemsOf(options.directory)) this.#book.fault(`after a clean stop: ${problem}`);
  }

  /** The next step to end at, '' for a moment at random; and with which variant. */
  #aim(only?: number): { crashAt: string; variant: number } {
    const anywhere = this.#random.below(this.#variants('').length);
    const points = this.#points;
    if (points.length === 0 || this.#random.below(4) === 0) return { crashAt: '', variant: anywhere };
    const { step, counts } = points[this.#aimed++ % points.length] as Point;
    const variant = only ?? this.#random.pick(Object.keys(counts).map(Number));
    const nth = 1 + this.#random.below(Math.min(20, Math.ceil((counts[variant] ?? 0) / 4)));
    return { crashAt: `${step} ${nth}`, variant };
  }

  #count(crashAt: string): void {
    const step = crashAt === '' ? 'at random' : crashAt.replace(/ \d+$/, '');
    this.#kills[step] = (this.#kills[step] ?? 0) + 1;
    this.#ended++;
    this.#options.say?.(`${this.#ended}: ${crashAt === '' ? step : crashAt}`);
  }

  /** As if what nobody looks after any more had been there for a minute. */
  #age({ directory }: ServerOptions): void {
    const time = new Date(Date.now() - 60_000);
    const folders = ['incomplete', 'queue'].map((name) => join(directory, 'v1', name));
    const files = folders
      .filter(existsSync)
      .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)));
    for (const path of [...files, join(directory, 'v1', 'upkeep.lock')]) {
      try {
        utimesSync(path, time, time);
      } catch (error) {
        // Whoever goes on may be just removing it.
        if (!isMissing(error)) throw error;
      }
    }
  }

  /** Plenty of room, or too little for all. */
  #variants(name: string): ServerOptions[] {
    const roomy = { directory: join(this.#options.directory, name), maxBytes: 256 * MIB };
    const tight = { ...roomy, maxBytes: 6 * MIB };
    const two: ServerOptions[] = [roomy, { ...tight, durability: 'commit' }];
    if (this.#options.short === true) return two;
    return [...two, { ...roomy, memory: false }, { ...roomy, durability: 'commit' }];
  }

  get #isOver(): boolean {
    return this.#book.faults.length > 0;
  }
}
