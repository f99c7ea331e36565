/** Manifests: whatever comes is read or refused, and of one that is right nothing is left out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ManifestError } from '../../lib/errors.ts';
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
  parseManifest,
} from '../../lib/storage/manifest.ts';
import { isName } from '../../lib/storage/names.ts';

const types = [OCI_MANIFEST, OCI_INDEX, OCI_ARTIFACT, DOCKER_MANIFEST, DOCKER_LIST, 'application/x-other'];
const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const digest = fc.oneof(
  hex(64).map((each) => `sha256:${each}`),
  hex(128).map((each) => `sha512:${each}`),
);
const descriptor = fc.record(
  {
    mediaType: fc.string(),
    digest,
    size: fc.maxSafeNat(),
    urls: fc.array(fc.webUrl(), { maxLength: 2 }),
    annotations: fc.dictionary(fc.string(), fc.string()),
  },
  { requiredKeys: ['digest', 'size'] },
);
const list = fc.array(descriptor, { maxLength: 8 });
const manifest = fc.record(
  {
    mediaType: fc.constantFrom(...types),
    config: descriptor,
    layers: list,
    blobs: list,
    manifests: list,
    subject: descriptor,
    artifactType: fc.string(),
    annotations: fc.dictionary(fc.string(), fc.string()),
  },
  { requiredKeys: ['mediaType'] },
);

/** Anything, under the names that are looked at. */
const hostile = fc.dictionary(
  fc.oneof(
    fc.constantFrom('mediaType', 'config', 'layers', 'blobs', 'manifests', 'subject', 'annotations'),
    fc.constantFrom('__proto__', 'digest', 'size', 'urls', 'fsLayers', 'artifactType', 'constructor'),
    fc.string(),
  ),
  fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(...types),
    descriptor,
    list,
    fc.array(fc.oneof(fc.jsonValue(), descriptor)),
  ),
);

describe('any manifest', () => {
  test('that is right is read, with everything that it names', () => {
    fc.assert(
      fc.property(manifest, (json) => {
        const bytes = Buffer.from(JSON.stringify(json));
        const read = parseManifest(bytes);
        const { config, layers = [], blobs = [], manifests = [] } = json;
        const all = [...(config ? [config] : []), ...layers, ...blobs, ...manifests];
        assert.deepEqual(
          read.references.map((each) => [each.digest, each.size, each.optional]),
          all.map((each) => [each.digest, each.size, (each.urls ?? []).length > 0]),
        );
        assert.equal(read.subject?.digest, json.subject?.digest);
        assert.deepEqual({ ...read.annotations }, { ...json.annotations });
        assert.deepEqual([read.mediaType, read.size], [json.mediaType, bytes.byteLength]);
      }),
    );
  });

  test('whatever is in it, names digests only, or is refused', () => {
    fc.assert(
      fc.property(hostile, fc.option(fc.constantFrom(...types), { nil: undefined }), (json, type) => {
        try {
          const { references, subject, mediaType } = parseManifest(Buffer.from(JSON.stringify(json)), type);
          for (const each of references) assert.ok(isName('digest', each.digest), each.digest);
          if (subject !== undefined) assert.ok(isName('digest', subject.digest), subject.digest);
          assert.notEqual(mediaType, '');
        } catch (error) {
          if (!(error instanceof ManifestError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  test('bytes that are anything at all are read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.throws(() => parseManifest(bytes), ManifestError);
      }),
    );
  });
});
