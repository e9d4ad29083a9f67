/** URLs of this machine's sandboxes: calls at their supervisors. */
import { EXPOSURES_TARGET, exposures, type ExposeCall, type ExposureRecord } from "../../protocol/expose-calls.ts";
import { SbxError } from "../errors.ts";
import type { ExposeSpec, Exposure, ExposureApi } from "../exposures.ts";
import type { CallOptions } from "../types.ts";
import { callRunning, type FindRunning, type RunningCall } from "./running-calls.ts";

export class LocalExposures implements ExposureApi {
  readonly #findRunning: FindRunning;

  constructor(findRunning: FindRunning) {
    this.#findRunning = findRunning;
  }

  async add(ref: string, { guestPort, hostPort }: ExposeSpec, options: CallOptions = {}): Promise<Exposure> {
    const body: ExposeCall = { guestPort, ...(hostPort === undefined ? {} : { hostPort }) };
    return this.#one({ ref, method: "POST", target: EXPOSURES_TARGET, body }, options);
  }

  async list(ref: string, options: CallOptions = {}): Promise<Exposure[]> {
    return exposures()
      .parse(await callRunning(this.#findRunning, { ref, method: "GET", target: EXPOSURES_TARGET }, options))
      .map(toExposure);
  }

  async remove(ref: string, guestPort: number, options: CallOptions = {}): Promise<Exposure> {
    return this.#one({ ref, method: "DELETE", target: `${EXPOSURES_TARGET}/${guestPort}` }, options);
  }

  async #one(call: RunningCall, options: CallOptions): Promise<Exposure> {
    const [exposure] = exposures().parse([await callRunning(this.#findRunning, call, options)]);
    if (exposure === undefined) throw new SbxError("internal", "the supervisor's answer is empty");
    return toExposure(exposure);
  }
}

function toExposure({ guestPort, hostPort, url, createdAt }: ExposureRecord): Exposure {
  return { guestPort, hostPort, url, createdAt };
}
