import type { Route } from './route.ts';

/**
 * The requests that Glance's own cache middleware answers (behaviours 1 to 7): image downloads of the v1 and v2 API, and the
 * deletions that end them. Keyed by the image's id alone. Images never change under their id, so entries don't expire.
 */
export function glance(): Route[] {
  const image = {
    reserved: ['detail'],
    freshness: 'immutable',
    key: ({ id }: { id: string }) => `glance:${id}`,
    query: false,
    // Glance describes an image by its os_hash_value, a SHA-512 by default.
    digests: ['sha512'],
  } as const satisfies Partial<Route>;
  return [
    { ...image, name: 'glance-v1', path: /^\/v1\/images\/(?<id>[^/]+)$/ },
    { ...image, name: 'glance-v2-file', path: /^\/v2\/images\/(?<id>[^/]+)\/file$/, purge: [] },
    { ...image, name: 'glance-v2', path: /^\/v2\/images\/(?<id>[^/]+)$/, read: false },
  ];
}
