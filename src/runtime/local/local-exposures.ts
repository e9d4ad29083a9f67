/** URLs of this machine's sandboxes: calls at their supervisors. */
import { EXPOSURES_TARGET, exposures, type ExposeCall, type ExposureRecord } from "../../protocol/expose-calls.ts";
import type { SandboxRow } from "../../store/sandbox-store.ts";
import { SbxError } from "../errors.ts";
import type { ExposeSpec, Exposure, ExposureApi } from "../exposures.ts";
import type { CallOptions } from "../types.ts";
import { callSupervisor, refusedWithCode } from "./supervisor-client.ts";

const TIMEOUT_MS = 10_000;

export class LocalExposures implements ExposureApi {
  readonly #findRunning: (ref: string) => SandboxRow;

  constructor(findRunning: (ref: string) => SandboxRow) {
    this.#findRunning = findRunning;
  }

  async add(ref: string, { guestPort, hostPort }: ExposeSpec, options: CallOptions = {}): Promise<Exposure> {
    const call: ExposeCall = { guestPort, ...(hostPort === undefined ? {} : { hostPort }) };
    return this.#one(ref, "POST", EXPOSURES_TARGET, call, options);
  }

  async list(ref: string, options: CallOptions = {}): Promise<Exposure[]> {
    return exposures()
      .parse(await this.#call(ref, "GET", EXPOSURES_TARGET, undefined, options))
      .map(toExposure);
  }

  async remove(ref: string, guestPort: number, options: CallOptions = {}): Promise<Exposure> {
    return this.#one(ref, "DELETE", `${EXPOSURES_TARGET}/${guestPort}`, undefined, options);
  }

  async #one(
    ref: string,
    method: string,
    target: string,
    body: object | undefined,
    options: CallOptions,
  ): Promise<Exposure> {
    const [exposure] = exposures().parse([await this.#call(ref, method, target, body, options)]);
    if (exposure === undefined) throw new SbxError("internal", "the supervisor's answer is empty");
    return toExposure(exposure);
  }

  async #call(
    ref: string,
    method: string,
    target: string,
    body: object | undefined,
    { signal }: CallOptions,
  ): Promise<unknown> {
    return callSupervisor(this.#findRunning(ref).socket, method, target, {
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...{ signal, timeoutMs: TIMEOUT_MS, refused: refusedWithCode },
    });
  }
}

function toExposure({ guestPort, hostPort, url, createdAt }: ExposureRecord): Exposure {
  return { guestPort, hostPort, url, createdAt };
}
