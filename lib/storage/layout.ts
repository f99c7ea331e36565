// docs/reference/storage-format.md

import type { Place } from './aside.ts';

/**
 * Where things lie in a backend. Names have been checked before they come here. A component that begins with `_` can be none of a
 * repository's name, so that no repository lies within what belongs to another.
 */
export const layout = {
  /** What says which format this is; no namespace has that name. */
  format: '_storage/format',

  blobs: (namespace: string): string => `${namespace}/blobs`,
  blob: (namespace: string, digest: string): string => `${namespace}/blobs/${digest}`,
  /** The content of a blob. */
  data: (namespace: string, digest: string): string => `${namespace}/blobs/${digest}/data`,
  /** Put when somebody has asked for the blob, or was told that it is there. */
  touched: (namespace: string, digest: string): string => `${namespace}/blobs/${digest}/touched`,
  /** Where the content is for the moment between its removal and the last look at whether somebody has come for it. */
  removing: (namespace: string, digest: string): string => `${namespace}/blobs/${digest}/removing`,
  /** Parts of an upload that becomes this blob, on a backend that can't append. */
  completing: (namespace: string, digest: string, upload: string): string =>
    `${namespace}/blobs/${digest}/uploads/${upload}`,

  uploads: (namespace: string): string => `${namespace}/uploads`,
  upload: (namespace: string, upload: string): string => `${namespace}/uploads/${upload}`,
  uploadRecord: (namespace: string, upload: string): string => `${namespace}/uploads/${upload}/metadata`,
  /** What has come, on a backend that can append. */
  uploadData: (namespace: string, upload: string): string => `${namespace}/uploads/${upload}/data`,
  /** What has come, on one that can't; `n` from 1 on. */
  uploadPart: (namespace: string, upload: string, n: number): string => `${namespace}/uploads/${upload}/${n}`,

  repositories: (namespace: string): string => `${namespace}/repos`,
  repository: (namespace: string, repository: string): string => `${namespace}/repos/${repository}`,
  /** One document for each tag and for each manifest by its digest: a map of media types to digests. */
  manifests: (namespace: string, repository: string): string => `${namespace}/repos/${repository}/_manifests`,
  manifest: (namespace: string, repository: string, reference: string): string =>
    `${namespace}/repos/${repository}/_manifests/${reference}`,
  /** Where documents, and links, are for the moment between their removal and the last look at whether somebody has come for them. */
  untying: (namespace: string, repository: string): string =>
    `${namespace}/repos/${repository}/_removing/_manifests`,
  unlinking: (namespace: string, repository: string): string =>
    `${namespace}/repos/${repository}/_removing/_blobs`,
  /** An empty object for each blob that was pushed to, or mounted into, the repository. */
  links: (namespace: string, repository: string): string => `${namespace}/repos/${repository}/_blobs`,
  link: (namespace: string, repository: string, digest: string): string =>
    `${namespace}/repos/${repository}/_blobs/${digest}`,
  allReferrers: (namespace: string, repository: string): string =>
    `${namespace}/repos/${repository}/_referrers`,
  /** A descriptor for each manifest that has the digest as its subject. */
  referrers: (namespace: string, repository: string, subject: string): string =>
    `${namespace}/repos/${repository}/_referrers/${subject}`,
  referrer: (namespace: string, repository: string, subject: string, digest: string): string =>
    `${namespace}/repos/${repository}/_referrers/${subject}/${digest}`,
  allUsed: (namespace: string, repository: string): string => `${namespace}/repos/${repository}/_used`,
  /** Put when the tag or manifest was pulled, where that is asked for. */
  used: (namespace: string, repository: string, reference: string): string =>
    `${namespace}/repos/${repository}/_used/${reference}`,
} as const;

/** Where something is, and where it is while `prune` looks whether it may remove it. */
export const places = {
  data: (namespace: string, digest: string): Place => ({
    path: layout.data(namespace, digest),
    aside: layout.removing(namespace, digest),
  }),
  manifests: (namespace: string, repository: string): Place => ({
    path: layout.manifests(namespace, repository),
    aside: layout.untying(namespace, repository),
  }),
  manifest: (namespace: string, repository: string, reference: string): Place =>
    within(places.manifests(namespace, repository), reference),
  links: (namespace: string, repository: string): Place => ({
    path: layout.links(namespace, repository),
    aside: layout.unlinking(namespace, repository),
  }),
  link: (namespace: string, repository: string, digest: string): Place =>
    within(places.links(namespace, repository), digest),
} as const;

/** The place of an object in that of its folder. */
export function within({ path, aside }: Place, name: string): Place {
  return { path: `${path}/${name}`, aside: `${aside}/${name}` };
}
