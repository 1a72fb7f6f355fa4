// Types of plenum-bridge.js. In a page's script: /// <reference path="../.plenum/sdk/js/plenum-bridge.d.ts" />

declare namespace Plenum {
  interface Context {
    user: { id: string; name: string; display_name: string; role: 'administrator' | 'operator' | 'viewer' };
    /** A BCP 47 tag. */
    locale: 'en' | 'zh-CN';
    theme: 'light' | 'dark';
    /** Id of the plugin. */
    plugin: string;
    /** The page's own place in the portal's address, as `setPath` put it there. */
    path: string;
    /** The portal's colours and sizes, as CSS variables with their values. */
    tokens: Record<string, string>;
  }

  interface Answer {
    status: number;
    headers: Record<string, string>;
    /** Text; problem JSON (RFC 9457) when the status is 400 or more. */
    body: string;
  }

  /** A CloudEvent. */
  interface Event {
    id: string;
    type: string;
    source: string;
    subject?: string;
    time: string;
    data: unknown;
  }

  /** A refusal of the portal, not of the plugin's API: an address that is not the plugin's, events that were not granted, ... */
  interface BridgeError extends Error {
    /** JSON-RPC 2.0. */
    code: number;
  }

  /** Text is sent as it is, anything else as JSON. */
  type Body = unknown;

  interface Bridge {
    readonly context: Context;
    /** Answers a function that ends it. */
    onContext(fn: (context: Context) => void): () => void;
    http: {
      request(method: string, path: string, body?: Body, headers?: Record<string, string>): Promise<Answer>;
      get(path: string): Promise<Answer>;
      post(path: string, body?: Body): Promise<Answer>;
      put(path: string, body?: Body): Promise<Answer>;
      patch(path: string, body?: Body): Promise<Answer>;
      delete(path: string): Promise<Answer>;
    };
    events: {
      /** Types, a trailing `*` or dot for all that start so; within the scope of the permission `events.read`. Answers a function that ends it. */
      subscribe(types: string | string[], fn: (event: Event) => void): Promise<() => void>;
    };
    navigate(to: string): Promise<void>;
    setPath(path: string, options?: { replace?: boolean }): Promise<void>;
    notify(level: 'info' | 'success' | 'warning' | 'error', text: string): Promise<void>;
    download(name: string, mime: string, content: string | ArrayBuffer | Uint8Array): Promise<void>;
  }
}

declare const plenum: {
  /** Meets the portal; the same bridge each time. Fails outside of the portal. */
  connect(): Promise<Plenum.Bridge>;
};

interface Window {
  plenum: typeof plenum;
}
