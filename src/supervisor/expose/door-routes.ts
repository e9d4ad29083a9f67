/** The URLs' part of the supervisor's socket (src/protocol/expose-calls.ts). */
import {
  exposeCall,
  EXPOSED_PORT,
  EXPOSURES_TARGET,
  MAX_EXPOSE_BODY_BYTES,
  type ExposeCall,
  type ExposureRecord,
} from "../../protocol/expose-calls.ts";
import type { DoorTable } from "../door-http.ts";

/** The URLs of a sandbox, as its owner may look at them and change them. Failures are SbxErrors. */
export interface ExposureControl {
  list(): ExposureRecord[];
  add(call: ExposeCall): Promise<ExposureRecord>;
  remove(guestPort: number): Promise<ExposureRecord>;
}

export const EXPOSURE_CALLS: DoorTable<ExposureControl> = {
  id: EXPOSED_PORT,
  routes: {
    [EXPOSURES_TARGET]: {
      GET: { answer: (exposures) => exposures.list() },
      POST: {
        maxBytes: MAX_EXPOSE_BODY_BYTES,
        answer: async (exposures, { body }) => exposures.add(exposeCall().parse(body)),
      },
    },
    [`${EXPOSURES_TARGET}/*`]: { DELETE: { answer: async (exposures, { id }) => exposures.remove(Number(id)) } },
  },
};
