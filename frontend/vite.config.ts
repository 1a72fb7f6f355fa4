/// <reference types="vitest/config" />
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const host = process.env.PLENUM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig(async ({ mode }) => ({
  plugins: [react(), ...(mode === 'mock' ? [(await import('./mock/plugin')).mockPlugin()] : [])],
  server:
    mode === 'mock'
      ? { port: 5199 }
      : {
          proxy: {
            // The host checks the Origin of changing requests against its own address.
            '/api': { target: host, changeOrigin: true, headers: { origin: host } },
            '^/plugins/.+': { target: host, changeOrigin: true },
          },
        },
  build: {
    target: 'es2022',
    // The portal is served with `script-src 'self'`: nothing may be inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: true,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1200,
  },
  test: {
    environment: 'jsdom',
    globals: false,
    include: ['src/**/*.test.{ts,tsx}'],
    setupFiles: ['src/test/setup.ts'],
    // Generous, so that a busy machine is no failure; what hangs still ends.
    testTimeout: 30_000,
  },
}));
