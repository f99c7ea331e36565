/** What clients are told of errors: OCI distribution-spec 1.1, "Error Codes". */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import {
  BackendError,
  BusyError,
  DigestError,
  FormatError,
  ManifestError,
  MissingReferenceError,
  NameError,
  OffsetError,
  SizeError,
  TooLargeError,
  UploadUnknownError,
} from '../../lib/errors.ts';
import { registry } from '../../lib/registry/index.ts';
import { MemoryBackend } from '../../lib/storage/backends/memory.ts';
import { Storage } from '../../lib/storage/storage.ts';
import { listening } from '../support/servers.ts';
import { blobPath, client, digestOf, serving } from './serving.ts';

const AT = blobPath(digestOf('x'));

const CASES: [error: Error, status: number, code: string, message: string | RegExp][] = [
  [new NameError('namespace', 'no'), 400, 'NAME_INVALID', 'no'],
  [new NameError('repository', 'no'), 400, 'NAME_INVALID', 'no'],
  [new NameError('path', 'no'), 400, 'NAME_INVALID', 'no'],
  [new NameError('tag', 'no'), 400, 'MANIFEST_INVALID', 'no'],
  [new NameError('media type', 'no'), 400, 'MANIFEST_INVALID', 'no'],
  [new NameError('digest', 'no'), 400, 'DIGEST_INVALID', 'no'],
  [new NameError('upload', 'no'), 404, 'BLOB_UPLOAD_UNKNOWN', 'no'],
  [new DigestError('sha256:a', 'sha256:b'), 400, 'DIGEST_INVALID', /sha256:a/],
  [new UploadUnknownError('a'), 404, 'BLOB_UPLOAD_UNKNOWN', /no upload a/],
  [new OffsetError(1, 2), 416, 'BLOB_UPLOAD_INVALID', /begins at byte 2/],
  [new SizeError(1, 2), 400, 'SIZE_INVALID', /2 bytes came/],
  [new TooLargeError('a blob', 5), 413, 'SIZE_INVALID', 'a blob may have 5 bytes'],
  [new BusyError('the upload'), 409, 'BLOB_UPLOAD_INVALID', /try again/],
  [new ManifestError('no'), 400, 'MANIFEST_INVALID', 'no'],
  [new MissingReferenceError(['sha256:a']), 404, 'MANIFEST_BLOB_UNKNOWN', /sha256:a/],
  [new BackendError('EIO on /srv/secret'), 503, 'UNKNOWN', 'the storage is not available'],
  [new BackendError('ENOSPC on /srv/secret', { reason: 'full' }), 507, 'UNKNOWN', 'the storage is full'],
];

describe('errors', () => {
  it('of the storage are told with a status and a code, without what is nobody’s business', async (t) => {
    const { call, storage } = await serving(t);
    for (const [error, status, code, message] of CASES) {
      storage.linkedBlobSize = async () => {
        throw error;
      };
      const answer = await call('GET', AT);
      assert.deepEqual([answer.status, answer.code], [status, code], error.message);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.headers['content-length'], String(answer.body.length));
      const told = answer.json.errors?.[0]?.message ?? '';
      if (typeof message === 'string') assert.equal(told, message);
      else assert.match(told, message);
      assert.ok(!/ERR_|secret/.test(answer.body.toString()), answer.body.toString());
      const isForLater = status === 409 || status === 503;
      assert.equal(answer.headers['retry-after'], isForLater ? '1' : undefined);
      const head = await call('HEAD', AT);
      assert.deepEqual([head.status, head.body.length], [status, 0]);
    }
  });

  it('that are none of the storage’s go to next(err), or are told as 500 where nothing comes next', async (t) => {
    const storage = new Storage(new MemoryBackend());
    storage.linkedBlobSize = async () => {
      throw new FormatError('/srv/secret', 2, 1);
    };
    const { call } = await serving(t, { storage });
    assert.equal((await call('GET', AT)).body.toString(), 'failed');

    const handler = registry({ storage, authorize: 'anyone' });
    const server = await listening(
      'http',
      createServer((req, res) => handler(req, res)),
    );
    t.after(() => server.close());
    const answer = await client(server, storage).call('GET', AT);
    assert.deepEqual([answer.status, answer.code], [500, 'UNKNOWN']);
    assert.ok(!answer.body.includes('secret'));
  });
});
