/** URLs of sandboxes in memory, for tests of the command line. */
import { SbxError } from "../src/runtime/errors.ts";
import type { ExposeSpec, Exposure, ExposureApi } from "../src/runtime/exposures.ts";

export class FakeExposures implements ExposureApi {
  exposed: Exposure[] = [];
  readonly #record: (method: string, ...args: unknown[]) => void;

  constructor(record: (method: string, ...args: unknown[]) => void) {
    this.#record = record;
  }

  async add(ref: string, spec: ExposeSpec): Promise<Exposure> {
    this.#record("exposures.add", ref, spec);
    const { guestPort, hostPort = 40_000 } = spec;
    const url = `http://web-${guestPort}.localhost:${hostPort}`;
    const exposure = { guestPort, hostPort, url, createdAt: 1_700_000_000_000 };
    this.exposed.push(exposure);
    return exposure;
  }

  async list(ref: string): Promise<Exposure[]> {
    this.#record("exposures.list", ref);
    return this.exposed;
  }

  async remove(ref: string, guestPort: number): Promise<Exposure> {
    this.#record("exposures.remove", ref, guestPort);
    const found = this.exposed.find((exposure) => exposure.guestPort === guestPort);
    if (found === undefined) throw new SbxError("exposure_not_found", `port ${guestPort} of ${ref} has no URL`);
    this.exposed = this.exposed.filter((exposure) => exposure !== found);
    return found;
  }
}
