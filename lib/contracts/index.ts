export {
  type BackendFactory,
  type BackendKit,
  type BackendTestContext,
  type MadeBackend,
  testBackend,
} from './backend.ts';
export { type Assert, type CacheFactory, type CacheFactoryOptions, type Kit, testCache } from './cache.ts';
