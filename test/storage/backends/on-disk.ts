import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  FilesystemBackend,
  type FilesystemBackendOptions,
} from '../../../lib/storage/backends/filesystem.ts';
import { temporaryDirectory } from '../../support/directory.ts';

export interface OnDisk {
  backend: FilesystemBackend;
  directory: string;
  objects: string;
  temporary: string;
}

export function onDisk(t: TestContext, options: Partial<FilesystemBackendOptions> = {}): OnDisk {
  const directory = options.directory ?? join(temporaryDirectory(t), 'storage');
  return {
    backend: new FilesystemBackend({ durability: 'none', ...options, directory }),
    directory,
    objects: join(directory, 'v1', 'objects'),
    temporary: join(directory, 'v1', 'temporary'),
  };
}
