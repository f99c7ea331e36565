/** The hash whose state can be written down, against node:crypto. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Sha256, type Sha256State } from '../../lib/storage/sha256.ts';

function known(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** As another process would find it. */
function passedOn(hash: Sha256): Sha256 {
  const next = Sha256.from(JSON.parse(JSON.stringify(hash.state)));
  assert.ok(next);
  return next;
}

describe('SHA-256 that can be written down', () => {
  test('is that of node:crypto, at every length around a block', () => {
    for (let length = 0; length <= 200; length++) {
      const bytes = Buffer.alloc(length, length + 1);
      const hash = new Sha256();
      hash.update(bytes);
      assert.equal(hash.digest(), known(bytes), `${length} bytes`);
    }
  });

  test('and in whatever pieces, by however many processes', () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, (parts) => {
        let hash = new Sha256();
        const so: Uint8Array[] = [];
        for (const part of parts) {
          hash = passedOn(hash);
          hash.update(part);
          so.push(part);
          const whole = Buffer.concat(so);
          assert.equal(hash.bytes, whole.byteLength);
          // A digest is not the end of it.
          assert.equal(hash.digest(), known(whole));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a long one, whose length takes more than 32 bits', () => {
    const bytes = Buffer.alloc(64, 'x');
    const hash = Sha256.from({ ...new Sha256().state, bytes: 2 ** 33 }) as Sha256;
    hash.update(bytes);
    const again = Sha256.from({ ...new Sha256().state, bytes: 0 }) as Sha256;
    again.update(bytes);
    assert.equal(hash.bytes, 2 ** 33 + 64);
    assert.notEqual(hash.digest(), again.digest());
  });

  test('what is no state is none', () => {
    const hash = new Sha256();
    hash.update(Buffer.from('some bytes'));
    const good = hash.state;
    const bad: unknown[] = [
      undefined,
      null,
      'state',
      {},
      { ...good, algorithm: 'sha512' },
      { ...good, bytes: -1 },
      { ...good, bytes: 1.5 },
      { ...good, bytes: good.bytes + 1 },
      { ...good, chaining: good.chaining.slice(1) },
      { ...good, chaining: good.chaining.toUpperCase() },
      { ...good, tail: '' },
      { ...good, tail: `${good.tail} ` },
      { ...good, tail: 7 },
    ];
    assert.ok(Sha256.from(good));
    for (const state of bad)
      assert.equal(Sha256.from(state as Sha256State), undefined, JSON.stringify(state));
  });
});
