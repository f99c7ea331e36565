/** What manifests refer to (statements 43, 45 and 48 of the registry that this one is like), and what is no manifest. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManifestError } from '../../lib/errors.ts';
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  descriptorOf,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
  parseManifest,
} from '../../lib/storage/manifest.ts';

const digest = (n: number): string => `sha256:${n.toString(16).padStart(64, '0')}`;
const bytesOf = (json: unknown): Buffer => Buffer.from(JSON.stringify(json));
const layer = (n: number, more: object = {}) => ({
  mediaType: 'application/x-layer',
  digest: digest(n),
  size: n,
  ...more,
});
const config = { mediaType: 'application/x-config', digest: digest(1), size: 1 };

/** `kind:digest`, and `?` where it may be missing. */
function named(json: unknown, mediaType?: string): string[] {
  return parseManifest(bytesOf(json), mediaType).references.map(
    (each) => `${each.kind}${each.optional ? '?' : ''} ${Number.parseInt(each.digest.slice(7), 16)}`,
  );
}

function refused(json: unknown, message: RegExp, mediaType?: string): void {
  const bytes = json instanceof Uint8Array ? json : bytesOf(json);
  assert.throws(
    () => parseManifest(bytes, mediaType),
    (error) => error instanceof ManifestError && error.status === 400 && message.test(error.message),
    String(message),
  );
}

describe('what a manifest refers to', () => {
  for (const mediaType of [OCI_MANIFEST, DOCKER_MANIFEST]) {
    test(`${mediaType}: its config and its layers`, () => {
      const json = { schemaVersion: 2, mediaType, config, layers: [layer(2), layer(3)] };
      assert.deepEqual(named(json), ['config 1', 'layer 2', 'layer 3']);
    });
  }

  for (const mediaType of [OCI_INDEX, DOCKER_LIST]) {
    test(`${mediaType}: its manifests`, () => {
      const manifests = [layer(2, { platform: { os: 'linux' } }), layer(3)];
      assert.deepEqual(named({ mediaType, manifests }), ['manifest 2', 'manifest 3']);
    });
  }

  test(`${OCI_ARTIFACT}: its blobs`, () => {
    assert.deepEqual(named({ mediaType: OCI_ARTIFACT, blobs: [layer(2)] }), ['layer 2']);
  });

  test('of an unknown media type: whatever is a descriptor under a known name', () => {
    const json = {
      config,
      layers: [layer(2), 'not this', { digest: 'nor:this' }, { digest: digest(4) }, null],
      blobs: { digest: digest(9) },
      manifests: [layer(3, { size: 'many' })],
      fsLayers: [{ blobSum: digest(5) }, { blobSum: 6 }, null],
      subject: 'nothing',
      annotations: 'none',
    };
    const found = ['config 1', 'layer 2', 'layer 4', 'layer 5', 'manifest 3'];
    assert.deepEqual(named(json, 'application/x-unknown'), found);
    const { subject, annotations, mediaType } = parseManifest(bytesOf(json), 'application/x-unknown');
    assert.deepEqual([subject, annotations, mediaType], [undefined, undefined, 'application/x-unknown']);
  });

  test('empty lists, null, and fields that nobody knows are as good as none', () => {
    assert.deepEqual(named({ mediaType: OCI_INDEX, manifests: [] }), []);
    assert.deepEqual(named({ mediaType: OCI_MANIFEST, config: null, layers: null, subject: null }), []);
    assert.deepEqual(named({ mediaType: OCI_MANIFEST, layers: [layer(2, { data: 'AA==', x: [] })], y: 1 }), [
      'layer 2',
    ]);
  });

  test('what can be had elsewhere may be missing', () => {
    const json = {
      mediaType: OCI_MANIFEST,
      layers: [layer(2, { urls: ['https://example.test/2'] }), layer(3, { urls: [] })],
    };
    assert.deepEqual(named(json), ['layer? 2', 'layer 3']);
  });

  test('SHA-512 is a digest too', () => {
    const sha512 = `sha512:${'a'.repeat(128)}`;
    const { references } = parseManifest(
      bytesOf({ mediaType: OCI_MANIFEST, layers: [{ digest: sha512, size: 0 }] }),
    );
    assert.deepEqual(references, [{ digest: sha512, kind: 'layer', optional: false, size: 0 }]);
  });

  test('100,000 layers, each as often as it is named', () => {
    const json = { mediaType: OCI_MANIFEST, layers: Array.from({ length: 100_000 }, (_, n) => layer(n % 7)) };
    assert.equal(named(json).length, 100_000);
  });
});

describe('what a manifest is', () => {
  test('has the media type that it came with, else its own, else that which it looks like', () => {
    assert.equal(parseManifest(bytesOf({ layers: [] }), DOCKER_MANIFEST).mediaType, DOCKER_MANIFEST);
    assert.equal(parseManifest(bytesOf({ mediaType: OCI_INDEX })).mediaType, OCI_INDEX);
    assert.equal(parseManifest(bytesOf({ manifests: [] })).mediaType, OCI_INDEX);
    assert.equal(parseManifest(bytesOf({ config })).mediaType, OCI_MANIFEST);
  });

  test('its subject, and what a list of referrers says of it', () => {
    const json = {
      mediaType: OCI_MANIFEST,
      config,
      layers: [],
      subject: { mediaType: OCI_INDEX, digest: digest(7), size: 70, annotations: { a: 'b' } },
      annotations: { 'org.example': 'yes' },
    };
    const bytes = bytesOf(json);
    const manifest = parseManifest(bytes);
    assert.deepEqual(manifest.subject, json.subject);
    assert.deepEqual(descriptorOf(manifest, digest(8)), {
      mediaType: OCI_MANIFEST,
      digest: digest(8),
      size: bytes.byteLength,
      annotations: { 'org.example': 'yes' },
      artifactType: 'application/x-config',
    });
    const said = parseManifest(bytesOf({ ...json, artifactType: 'application/x-signature' }));
    assert.equal(said.artifactType, 'application/x-signature');
    assert.equal(parseManifest(bytesOf({ mediaType: OCI_INDEX, config })).artifactType, undefined);
  });

  test('names that objects have by themselves are names like others', () => {
    const text =
      `{"mediaType":"${OCI_MANIFEST}","__proto__":{"layers":[1],"subject":1},"constructor":1,` +
      `"annotations":{"__proto__":"a","toString":"b"}}`;
    const manifest = parseManifest(Buffer.from(text));
    assert.deepEqual(manifest.references, []);
    assert.equal(manifest.subject, undefined);
    assert.deepEqual(Object.entries(manifest.annotations ?? {}), [
      ['__proto__', 'a'],
      ['toString', 'b'],
    ]);
    assert.equal(Object.hasOwn(Object.prototype, 'layers'), false);
  });
});

describe('what is no manifest', () => {
  test('is not JSON, not text, or not an object', () => {
    refused(Buffer.from(''), /not JSON/);
    refused(Buffer.from('{"a":'), /not JSON/);
    refused(Buffer.from('{"a":"\xff"}', 'latin1'), /not JSON/);
    refused([], /a list, not a JSON object/);
    refused('text', /"text", not a JSON object/);
    refused(null, /null, not a JSON object/);
  });

  test('has another media type than it came with, none at all, or two', () => {
    refused(
      { mediaType: OCI_INDEX },
      /came as "application.*docker.*", and says of itself that it is .*index/,
      DOCKER_LIST,
    );
    refused({ mediaType: 7 }, /mediaType is 7/);
    refused({ mediaType: '' }, /mediaType is ""/);
    refused({}, /has no media type/);
    refused({ manifests: [], layers: [] }, /has no media type/);
  });

  test('has a descriptor that is none, or with a wrong digest or size: says where', () => {
    const image = (more: object) => ({ mediaType: OCI_MANIFEST, ...more });
    refused(image({ layers: {} }), /layers is an object, not a list/);
    refused(image({ config: [] }), /config is a list, not a descriptor/);
    refused(image({ layers: [layer(1), 5] }), /layers\[1\] is 5, not a descriptor/);
    refused(image({ layers: [null] }), /layers\[0\] is null, not a descriptor/);
    refused(image({ layers: [{}] }), /layers\[0\]\.digest is missing, not a digest/);
    refused(image({ config: { ...config, digest: 'sha256:ABC' } }), /config\.digest is "sha256:ABC"/);
    refused(image({ subject: { digest: `${digest(1)}/../..` } }), /subject\.digest is/);
    for (const size of [-1, 0.5, '1', 1e300, undefined]) {
      refused(image({ config: { ...config, size } }), /config\.size is .*, not a whole number/);
    }
    refused(image({ config: { ...config, mediaType: 1 } }), /config\.mediaType is 1, not a string/);
    refused({ mediaType: OCI_INDEX, manifests: [{ digest: 'x' }] }, /manifests\[0\]\.digest is "x"/);
    refused(image({ annotations: { a: 1 } }), /annotations\["a"\] is 1, not a string/);
    refused(image({ annotations: [] }), /annotations is a list, not an object/);
  });

  test('is nested deeply: refused or passed over, and the message is short', () => {
    const deep = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;
    refused(Buffer.from(`{"mediaType":"${OCI_MANIFEST}","layers":[${deep}]}`), /layers\[0\] is a list/);
    assert.deepEqual(
      parseManifest(Buffer.from(`{"mediaType":"${OCI_MANIFEST}","x":${deep}}`)).references,
      [],
    );
    const long = { mediaType: OCI_MANIFEST, config: { digest: 'x'.repeat(1_000_000), size: 1 } };
    refused(long, /^.{1,250}$/);
  });
});
