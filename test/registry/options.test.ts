import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type RegistryOptions, registry } from '../../lib/registry/index.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';

const storage = new Storage(new MemoryBackend());

describe('the options of a registry', () => {
  it('are refused where they can’t be meant, each with what would be right', () => {
    const cases: [options: object | undefined | null, message: RegExp][] = [
      [
        undefined,
        /registry takes an object of options, got undefined; write registry\(\{ storage, authorize \}\)/,
      ],
      [null, /registry takes an object of options/],
      [{}, /storage is required: a Storage, got undefined/],
      [{ storage: './images' }, /storage is required: a Storage, got ".\/images"/],
      [{ storage: { ...bare(), referrers: undefined } }, /storage must be a Storage; it lacks referrers/],
      [{ storage, authorise: 'anyone' }, /unknown option "authorise"; did you mean authorize\?/],
      [{ storage, authorize: true }, /authorize must be a function or 'anyone', got true/],
      [{ storage, authenticate: 'basic' }, /authenticate must be a function, got "basic"/],
      [{ storage, namespace: 'Upper' }, /namespace must be a function, or lower-case letters .*got "Upper"/],
      [{ storage, namespace: '' }, /namespace must be/],
      [{ storage, challenge: 'a\r\nb' }, /challenge must be a function, or what WWW-Authenticate says/],
      [{ storage, readOnly: 'yes' }, /readOnly must be true or false/],
      [{ storage, quota: 100 }, /quota must be a function/],
      [{ storage, chunkMinBytes: '5MB' }, /chunkMinBytes must be a whole number of bytes/],
      [{ storage, stallTimeoutMs: -1 }, /stallTimeoutMs must be a number of milliseconds/],
      [{ storage, sendTimeoutMs: '1s' }, /sendTimeoutMs must be a number of milliseconds/],
      [{ storage, onEvent: {} }, /onEvent must be a function/],
    ];
    for (const [options, message] of cases)
      assert.throws(() => registry(options as RegistryOptions), { name: 'OptionError', message });
  });

  it('need be no more than a storage; undefined is the same as absent', () => {
    registry({ storage });
    registry({ storage, authorize: undefined, namespace: undefined, challenge: undefined } as never);
  });
});

/** A storage as an object with nothing but functions. */
function bare(): object {
  const names = Object.getOwnPropertyNames(Storage.prototype).filter((name) => name !== 'constructor');
  return { options: storage.options, ...Object.fromEntries(names.map((name) => [name, () => undefined])) };
}
