/** The names' part of the supervisor's socket (src/protocol/domain-calls.ts). */
import {
  DOMAIN_HOST,
  domainCall,
  DOMAINS_TARGET,
  MAX_DOMAIN_BODY_BYTES,
  type DomainCall,
  type DomainRecord,
} from "../../protocol/domain-calls.ts";
import type { DoorTable } from "../door-http.ts";

/** The names of a sandbox, as whoever may announce them handles them. Failures are SbxErrors. */
export interface DomainControl {
  list(): DomainRecord[];
  announce(call: DomainCall): DomainRecord;
  remove(host: string): DomainRecord;
}

export const DOMAIN_CALLS: DoorTable<DomainControl> = {
  id: DOMAIN_HOST,
  routes: {
    [DOMAINS_TARGET]: {
      GET: { answer: (domains) => domains.list() },
      POST: {
        maxBytes: MAX_DOMAIN_BODY_BYTES,
        answer: (domains, { body }) => domains.announce(domainCall().parse(body)),
      },
    },
    [`${DOMAINS_TARGET}/*`]: { DELETE: { answer: (domains, { id }) => domains.remove(id) } },
  },
};
