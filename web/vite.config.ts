import { defineConfig } from 'vite';

// The page is part of the package: `tokensieve serve` serves dist/web. No source maps, so that the tarball stays
// small; relative addresses, so that it also works behind a proxy's prefix.
export default defineConfig({
  root: import.meta.dirname,
  base: './',
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the service (default-src 'self') has no room for inlined data or scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
