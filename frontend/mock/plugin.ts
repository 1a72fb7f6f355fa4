import type { Plugin } from 'vite';

/** Serves the portal against invented data: `npm run dev:mock`. */
export function mockPlugin(): Plugin {
  return {
    name: 'plenum-mock',
    async configureServer(server) {
      const { handle } = await import('./server');
      server.middlewares.use((req, res, next) => void handle(req, res, next));
    },
  };
}
