import type { IncomingMessage, ServerResponse } from 'node:http';

export async function handle(_req: IncomingMessage, _res: ServerResponse, next: () => void): Promise<void> {
  next();
}
