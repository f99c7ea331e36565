/** OCI distribution-spec 1.1, "Listing referrers": end points 12a and 12b. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BACKENDS, digestOf, IMAGE, INDEX, REPO, type Said, type Served, serving } from './serving.ts';

const SUBJECT = { mediaType: IMAGE, digest: digestOf('a subject that is not there'), size: 27 };
const AT = `/v2/${REPO}/referrers/${SUBJECT.digest}`;

async function pushIndex({ call }: Served, tag: string, more: object): Promise<string> {
  const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [], ...more }));
  const answer = await call('PUT', `/v2/${REPO}/manifests/${tag}`, {
    headers: { 'Content-Type': INDEX },
    body,
  });
  assert.equal(answer.status, 201);
  return digestOf(body);
}

for (const [where, make] of Object.entries(BACKENDS)) {
  describe(`referrers, ${where}`, () => {
    it('are an index of what names the subject, with its type and annotations', async (t) => {
      const served = await serving(t, { backend: await make(t) });
      const image = await served.pushImage('sig', { subject: SUBJECT, annotations: { by: 'ann' } });
      const typed = await served.pushImage('sbom', { subject: SUBJECT, artifactType: 'application/sbom' });
      const index = await pushIndex(served, 'index', { subject: SUBJECT });
      await served.pushImage('other', { subject: { ...SUBJECT, digest: digestOf('other') } });

      const { status, headers, json } = await served.call('GET', AT);
      assert.deepEqual([status, headers['content-type']], [200, INDEX]);
      assert.equal(headers['oci-filters-applied'], undefined);
      assert.deepEqual([json.schemaVersion, json.mediaType], [2, INDEX]);
      const found = new Map(json.manifests?.map((each) => [each.digest, each]));
      assert.deepEqual([...found.keys()].sort(), [image.digest, typed.digest, index].sort());
      assert.deepEqual(found.get(image.digest), {
        mediaType: IMAGE,
        digest: image.digest,
        size: image.bytes.length,
        annotations: { by: 'ann' },
        artifactType: 'application/vnd.oci.image.config.v1+json',
      });
      assert.equal(found.get(typed.digest)?.artifactType, 'application/sbom');
      assert.equal(found.get(index)?.artifactType, undefined);

      const filtered = await served.call('GET', `${AT}?artifactType=application/sbom`);
      assert.equal(filtered.headers['oci-filters-applied'], 'artifactType');
      assert.deepEqual(
        filtered.json.manifests?.map((each) => each.digest),
        [typed.digest],
      );
      const none = await served.call('GET', `${AT}?artifactType=none`);
      assert.deepEqual([none.status, none.json.manifests], [200, []]);

      await served.call('DELETE', `/v2/${REPO}/manifests/${typed.digest}`);
      const rest = (await served.call('GET', AT)).json.manifests?.map((each) => each.digest);
      assert.deepEqual(rest?.sort(), [image.digest, index].sort());
    });
  });
}

describe('referrers', () => {
  it('are an empty list where there are none, even of a repository that is not there', async (t) => {
    const { call } = await serving(t);
    const { status, json } = await call('GET', AT);
    assert.deepEqual([status, json], [200, { schemaVersion: 2, mediaType: INDEX, manifests: [] }]);
    const head = await call('HEAD', AT);
    assert.deepEqual([head.status, head.body.length], [200, 0]);
  });

  it('come in answers that every client takes, however many and large they are', async (t) => {
    const served = await serving(t);
    const digests: string[] = [];
    for (const n of [1, 2, 3, 4, 5]) {
      const annotations = { text: String(n).repeat(1_500_000) };
      digests.push(
        await pushIndex(served, `v${n}`, { subject: SUBJECT, artifactType: 'a/b+c', annotations }),
      );
    }
    const found: string[] = [];
    let next: string | undefined = `${AT}?artifactType=a/b%2Bc`;
    for (let n = 0; next !== undefined && n < 10; n++) {
      const { status, headers, body, json }: Said = await served.call('GET', next);
      assert.equal(status, 200);
      assert.ok(body.length <= 4.1 * 2 ** 20, `${body.length} bytes`);
      assert.equal(headers['oci-filters-applied'], 'artifactType');
      found.push(...(json.manifests ?? []).map((each) => each.digest));
      next = /^<(.*)>; rel="next"$/.exec(String(headers['link']))?.[1];
    }
    assert.deepEqual(found, digests.sort());
    const wrong = await served.call('GET', `${AT}?last=../x`);
    assert.deepEqual([wrong.status, wrong.code], [400, 'DIGEST_INVALID']);
  });

  it('answer 400 for a digest that is none', async (t) => {
    const { call } = await serving(t);
    for (const digest of ['sha256:abc', 'v1', 'md5:00']) {
      const answer = await call('GET', `/v2/${REPO}/referrers/${digest}`);
      assert.deepEqual([answer.status, answer.code], [400, 'DIGEST_INVALID'], digest);
    }
  });
});
