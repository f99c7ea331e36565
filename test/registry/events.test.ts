/** `onEvent`: what was pushed, mounted, pulled and deleted. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegistryEvent } from '../../lib/registry/index.ts';
import { blobPath, digestOf, INDEX, REPO, serving, UPLOADS } from './serving.ts';

const BYTES = Buffer.from('twelve bytes');
const DIGEST = digestOf(BYTES);
const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [] });
const MANIFEST_DIGEST = digestOf(MANIFEST);

describe('onEvent', () => {
  it('is told of what was done, by whom, and of nothing that failed', async (t) => {
    const told: object[] = [];
    const { call } = await serving(t, {
      authenticate: ({ headers }) => headers['x-user'],
      onEvent: ({ req, user, ...rest }: RegistryEvent) => {
        assert.equal(req.headers['x-user'], user);
        told.push(rest);
      },
    });
    const headers = { 'X-User': 'ann' };
    const at = (reference: string) => `/v2/${REPO}/manifests/${reference}`;
    const steps: [method: string, path: string, body: Buffer | string | undefined, events: object[]][] = [
      ['POST', `${UPLOADS}?digest=${digestOf('x')}`, BYTES, []],
      [
        'POST',
        `${UPLOADS}?digest=${DIGEST}`,
        BYTES,
        [{ action: 'push', what: 'blob', repository: REPO, digest: DIGEST, bytes: 12 }],
      ],
      [
        'POST',
        `/v2/b/blobs/uploads/?mount=${DIGEST}&from=${REPO}`,
        '',
        [{ action: 'mount', what: 'blob', repository: 'b', digest: DIGEST }],
      ],
      ['HEAD', blobPath(DIGEST), undefined, []],
      [
        'GET',
        blobPath(DIGEST),
        undefined,
        [{ action: 'pull', what: 'blob', repository: REPO, digest: DIGEST, bytes: 12 }],
      ],
      ['PUT', at('v1'), 'no manifest', []],
      [
        'PUT',
        at('v1'),
        MANIFEST,
        [
          {
            action: 'push',
            what: 'manifest',
            repository: REPO,
            digest: MANIFEST_DIGEST,
            tag: 'v1',
            bytes: MANIFEST.length,
          },
        ],
      ],
      [
        'PUT',
        `${at(MANIFEST_DIGEST)}`,
        MANIFEST,
        [
          {
            action: 'push',
            what: 'manifest',
            repository: REPO,
            digest: MANIFEST_DIGEST,
            bytes: MANIFEST.length,
          },
        ],
      ],
      [
        'PUT',
        `${at(MANIFEST_DIGEST)}?tag=a,b`,
        MANIFEST,
        ['a', 'b'].map((tag) => ({
          action: 'push',
          what: 'manifest',
          repository: REPO,
          digest: MANIFEST_DIGEST,
          tag,
          bytes: MANIFEST.length,
        })),
      ],
      [
        'GET',
        at('v1'),
        undefined,
        [
          {
            action: 'pull',
            what: 'manifest',
            repository: REPO,
            digest: MANIFEST_DIGEST,
            tag: 'v1',
            bytes: MANIFEST.length,
          },
        ],
      ],
      ['DELETE', at('v1'), undefined, [{ action: 'delete', what: 'manifest', repository: REPO, tag: 'v1' }]],
      ['DELETE', at('v1'), undefined, []],
      [
        'DELETE',
        at(MANIFEST_DIGEST),
        undefined,
        [{ action: 'delete', what: 'manifest', repository: REPO, digest: MANIFEST_DIGEST }],
      ],
      [
        'DELETE',
        blobPath(DIGEST),
        undefined,
        [{ action: 'delete', what: 'blob', repository: REPO, digest: DIGEST }],
      ],
    ];
    for (const [method, path, body, events] of steps) {
      told.length = 0;
      await call(method, path, { headers, ...(body === undefined ? {} : { body }) });
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(told, events, `${method} ${path}`);
    }
  });

  it('is told how much of a range was sent', async (t) => {
    const told: RegistryEvent[] = [];
    const { call, push } = await serving(t, { onEvent: (event) => told.push(event) });
    await push(BYTES);
    told.length = 0;
    await call('GET', blobPath(DIGEST), { headers: { Range: 'bytes=2-4' } });
    await call('GET', blobPath(DIGEST), { headers: { 'If-None-Match': `"${DIGEST}"` } });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      told.map(({ action, bytes }) => [action, bytes]),
      [['pull', 3]],
    );
  });

  it('changes nothing by what it throws', async (t) => {
    const fails = [
      () => {
        throw new Error('no');
      },
      () => Promise.reject(new Error('no')),
    ];
    for (const onEvent of fails) {
      const { call, push } = await serving(t, { onEvent });
      await push(BYTES);
      assert.equal((await call('GET', blobPath(DIGEST))).status, 200);
    }
  });
});
