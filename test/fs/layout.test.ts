import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { basename, join, relative, sep } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Layout, parseFileName, primaryName } from '../../lib/fs/layout.ts';

const FILL = '0123456789abcdef';
const layout = new Layout('/cache');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('layout', () => {
  test('an entry is named by the SHA-256 of its key, and of its variant', () => {
    const name = layout.name('/files/a', undefined);
    assert.equal(name, sha256('/files/a'));
    assert.equal(layout.name('/files/a', ''), name);
    assert.equal(layout.name('/files/a', '?b'), `${name}-${sha256('?b').slice(0, 16)}`);
    const root = join('/cache', 'v1');
    assert.equal(layout.record(name), join(root, 'entries', name.slice(0, 2), `${name}.json`));
    assert.equal(layout.body(name, FILL), join(root, 'entries', name.slice(0, 2), `${name}.${FILL}.body`));
    assert.equal(layout.state(name, FILL), join(root, 'entries', name.slice(0, 2), `${name}.${FILL}.state`));
    assert.equal(layout.marker(name), join(root, 'queue', `${name}.json`));
    assert.equal(layout.claim(name, FILL), join(root, 'incomplete', `${name}.${FILL}.claim`));
    assert.equal(layout.incompleteBody(name, FILL), join(root, 'incomplete', `${name}.${FILL}.body`));
    assert.equal(layout.gone(name, FILL), join(root, 'incomplete', `${name}.${FILL}.gone`));
  });

  test('no key leads out of the directory, or to a name that can not be read back', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(text, fc.option(text, { nil: undefined }), (primary, variant) => {
        const name = layout.name(primary, variant);
        const paths = {
          json: layout.record(name),
          body: layout.body(name, FILL),
          state: layout.state(name, FILL),
          claim: layout.claim(name, FILL),
          gone: layout.gone(name, FILL),
        };
        for (const [kind, path] of Object.entries(paths)) {
          const below = relative(layout.root, path).split(sep);
          assert.ok(!below.includes('..') && (below[0] === 'entries' || below[0] === 'incomplete'), path);
          const fill = kind === 'json' ? undefined : FILL;
          assert.deepEqual(parseFileName(basename(path)), { name, fill, kind });
        }
        assert.deepEqual(relative(layout.root, layout.marker(name)).split(sep), ['queue', `${name}.json`]);
        assert.equal(primaryName(name), layout.name(primary, undefined));
      }),
    );
  });

  test('other files are not ours', () => {
    const name = sha256('/files/a');
    for (const file of [
      '',
      '.DS_Store',
      'README',
      `${name}`,
      `${name}.json.bak`,
      `${name}.${FILL}.json`,
      `${name}.body`,
      `${name}.claim`,
      `${name}.state`,
      `${name}.${FILL}.tmp`,
      `${name.toUpperCase()}.json`,
      `${name.slice(1)}.json`,
      `${name}-${FILL}x.json`,
      `${name}.${FILL}0.body`,
      `../${name}.json`,
      `${name}.json\n`,
    ]) {
      assert.equal(parseFileName(file), undefined, JSON.stringify(file));
    }
  });
});
