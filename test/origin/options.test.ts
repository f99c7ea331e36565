import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { resolveUpstream, type UpstreamOptions } from '../../lib/origin/options.ts';

test('options that are left out have their defaults, and none can be changed afterwards', () => {
  const config = resolveUpstream({ retries: undefined } as unknown as UpstreamOptions);
  assert.deepEqual(config, {
    connectTimeoutMs: 10_000,
    headTimeoutMs: 60_000,
    stallTimeoutMs: 60_000,
    retries: 2,
    retryDelayMs: 250,
    resumes: 5,
    maxRequests: 64,
    maxQueued: 1024,
    queueTimeoutMs: 30_000,
    maxRedirects: 5,
    breaker: { failures: 5, openMs: 10_000 },
    agents: {},
  });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.breaker));
});

test('what is given is taken', () => {
  const http = new Agent();
  const config = resolveUpstream({ retries: 0, maxQueued: 0, breaker: { failures: 1 }, agents: { http } });
  assert.deepEqual([config.retries, config.maxQueued, config.agents.http], [0, 0, http]);
  assert.deepEqual(config.breaker, { failures: 1, openMs: 10_000 });
  assert.equal(resolveUpstream({ breaker: false }).breaker, false);
});

const refused: [options: unknown, option: string, message: RegExp][] = [
  [{ retries: -1 }, 'upstream.retries', /upstream\.retries must be a whole number from 0 on, got -1/],
  [{ maxRequests: 0 }, 'upstream.maxRequests', /from 1 on, got 0/],
  [{ headTimeoutMs: '5s' }, 'upstream.headTimeoutMs', /a number of milliseconds .* got "5s"/],
  [{ retires: 1 }, 'upstream.retires', /unknown option "upstream\.retires"; did you mean retries\?/],
  [{ breaker: true }, 'upstream.breaker', /upstream\.breaker must be an object, got true/],
  [{ breaker: { failures: 0 } }, 'upstream.breaker.failures', /upstream\.breaker\.failures must be/],
  [{ agents: { http: {} } }, 'upstream.agents.http', /must be an Agent of node:http, got \{\}/],
  [{ agents: { ftp: {} } }, 'upstream.agents.ftp', /unknown option/],
  [null, 'upstream', /upstream must be an object, got null/],
];
for (const [options, option, message] of refused) {
  test(`${JSON.stringify(options)} is refused`, () => {
    assert.throws(() => resolveUpstream(options as UpstreamOptions), {
      code: 'ERR_CACHE_FILTER_OPTION',
      option,
      message,
    });
  });
}
