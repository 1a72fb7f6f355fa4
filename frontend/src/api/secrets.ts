/** Calls and shapes of secret attributes. */
import { http, segment } from './client';
import type { Page } from './types';

export interface SecretState {
  attribute: string;
  set: boolean;
  set_by: string | null;
  set_at: string | null;
}

export const secrets = {
  of: (model: string, id: string) => http.get<Page<SecretState>>(segment`/cmdb/models/${model}/instances/${id}/secrets`),
  set: (model: string, id: string, attribute: string, value: string) => http.put<void>(segment`/cmdb/models/${model}/instances/${id}/secrets/${attribute}`, { value }),
  remove: (model: string, id: string, attribute: string) => http.delete<void>(segment`/cmdb/models/${model}/instances/${id}/secrets/${attribute}`),
  reveal: (model: string, id: string, attribute: string, reason: string) => http.post<{ value: string }>(segment`/cmdb/models/${model}/instances/${id}/secrets/${attribute}/reveal`, { reason }),
};
