/** What a new workflow can begin with. */
import type { Key } from '../../i18n';
import PROVIDE from '../changes/provide.yaml?raw';

export interface Template {
  id: string;
  title: Key;
  source: string;
}

const head = (name: string, title: string) => `document:
  dsl: 1.0.0
  namespace: default
  name: ${name}
  version: 0.1.0
  title: ${title}
`;

export const TEMPLATES: Template[] = [
  {
    id: 'script',
    title: 'template.script',
    source: `${head('free-space', 'Free space on every host')}input:
  schema:
    format: json
    document:
      type: object
      properties:
        filter:
          type: string
          title: Which hosts
          default: status == "online"
do:
  - ask:
      call: job.run
      with:
        name: Free space
        script: { language: sh, content: "df -Ph" }
        targets: { filter: { model: host, cel: "\${ .filter }" } }
`,
  },
  {
    id: 'restart',
    title: 'template.restart',
    source: `${head('restart-service', 'Restart a service, a few machines at a time')}input:
  schema:
    format: json
    document:
      type: object
      required: [service]
      properties:
        service: { type: string, title: Service, pattern: '^[A-Za-z0-9@._-]+$' }
        filter: { type: string, title: Which hosts, default: status == "online" }
do:
  # Who is asked decides before anything is touched.
  - ask:
      call: approval
      with:
        title: '\${ "Restart " + .service + "?" }'
        approvers: ['role:administrator']
        deadline: { hours: 8 }
      output: { as: '\${ $input + { decision: .decision } }' }
  - decided:
      switch:
        - no: { when: '\${ .decision != "approved" }', then: end }
        - yes: { then: restart }
  - restart:
      try:
        - job:
            call: job.run
            with:
              name: Restart
              script: { language: sh, content: '\${ "systemctl restart " + .service + " && systemctl is-active " + .service }' }
              targets: { filter: { model: host, cel: '\${ .filter }' } }
              concurrency: 5
              timeout_s: 120
      catch:
        # The job service is busy.
        errors: { with: { status: 429 } }
        retry: { delay: { seconds: 30 }, limit: { attempt: { count: 3 } } }
  - tell:
      if: '\${ .status != "succeeded" }'
      call: event.publish
      with:
        type: ops.restart.failed
        data: '\${ .summary }'
`,
  },
  {
    id: 'each',
    title: 'template.each',
    source: `${head('one-by-one', 'One machine after another')}do:
  - hosts:
      call: cmdb.query
      with: { model: host, filter: status == "online", limit: 500 }
  - each:
      for: { each: host, in: '\${ .items }' }
      do:
        - work:
            call: job.run
            with:
              name: One host
              script: { language: sh, content: uptime }
              targets: { instances: [{ model: host, id: '\${ $host.id }' }] }
        # The first machine that fails ends it.
        - good:
            if: '\${ .status != "succeeded" }'
            raise:
              error: { type: 'urn:ops:host-failed', status: 500, title: A machine failed }
        - breathe: { wait: { seconds: 10 } }
`,
  },
  {
    id: 'http',
    title: 'template.http',
    source: `${head('ask-a-service', 'Ask a service, and try again when it is busy')}do:
  - ask:
      try:
        - get:
            call: http
            with: { method: get, endpoint: 'https://example.com/api/state' }
            timeout: { after: PT20S }
      catch:
        errors: { with: { status: 503 } }
        retry:
          delay: { seconds: 5 }
          backoff: { exponential: {} }
          limit: { attempt: { count: 5 } }
        do:
          - unknown: { set: { state: unknown } }
  - tell:
      emit:
        event:
          with: { type: ops.state, source: 'urn:plenum:workflow', data: '\${ . }' }
`,
  },
  {
    id: 'event',
    title: 'template.event',
    source: `${head('on-event', 'When something happens')}schedule:
  on:
    one: { with: { type: ops.disk.full } }
do:
  - first: { set: { event: '\${ .[0] }' } }
  - both:
      fork:
        branches:
          - clean:
              call: job.run
              with:
                name: Clean up
                script: { language: sh, content: journalctl --vacuum-size=500M }
                targets: { instances: [{ model: host, id: '\${ .event.data.host }' }] }
          - note:
              call: event.publish
              with: { type: ops.disk.cleaning, data: '\${ .event.data }' }
`,
  },
  { id: 'provide-resource', title: 'template.provide', source: PROVIDE },
  { id: 'empty', title: 'template.empty', source: `${head('my-workflow', 'My workflow')}do:\n  - first: { set: { hello: world } }\n` },
];
