import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Route, resolveRoutes } from '../../lib/routes/route.ts';
import { RouteTable } from '../../lib/routes/table.ts';
import { DEFAULTS } from './matching.ts';

const table = (routes: Route[]) => new RouteTable(resolveRoutes(routes, DEFAULTS));

describe('what routes say of a target', () => {
  test('is the same the second time, for each method', () => {
    const routes = table([{ path: '/files/:id' }]);
    for (const _ of [1, 2]) {
      assert.equal(routes.match('GET', '/files/a?b=1')?.id, 'a');
      assert.equal(routes.match('GET', '/files/a?b=1')?.query, 'b=1');
      assert.equal(routes.match('DELETE', '/files/a')?.action, 'purge');
      assert.equal(routes.match('HEAD', '/files/a')?.action, 'read');
      assert.equal(routes.match('GET', '/files/a')?.action, 'read');
      assert.equal(routes.match('POST', '/files/a'), undefined);
      assert.equal(routes.match('GET', '/other'), undefined);
    }
  });

  test('is asked for anew where a function of the application has a say', () => {
    let asked = 0;
    const byFunction = table([{ path: ({ path }) => ({ id: `${path}${++asked}` }) }]);
    assert.deepEqual([byFunction.match('GET', '/a')?.id, byFunction.match('GET', '/a')?.id], ['/a1', '/a2']);
    const byKey = table([{ path: '/:id', key: () => `key${++asked}` }]);
    assert.deepEqual([byKey.match('GET', '/a')?.key, byKey.match('GET', '/a')?.key], ['key3', 'key4']);
  });

  test('stays right when there are more targets than are remembered, and longer ones', () => {
    const routes = table([{ path: '/files/*path' }]);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 2500; i++) assert.equal(routes.match('GET', `/files/${i}`)?.id, String(i));
      const long = 'x'.repeat(4000);
      assert.equal(routes.match('GET', `/files/${long}`)?.id, long);
    }
  });

  test('can not be changed by a hook that is handed it', () => {
    const match = table([{ path: '/files/:id' }]).match('GET', '/files/a') ?? assert.fail();
    assert.throws(() => {
      (match.params as Record<string, string>)['id'] = 'b';
    }, TypeError);
  });
});
