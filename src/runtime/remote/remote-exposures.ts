/** URLs of sandboxes on a server: they are its gateway's. */
import type { ExposeSpec, Exposure, ExposureApi } from "../exposures.ts";
import type { CallOptions } from "../types.ts";
import type { ControlClient } from "./control-client.ts";
import { unsupported } from "./unsupported.ts";

export class RemoteExposures implements ExposureApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async add(ref: string, { guestPort, hostPort }: ExposeSpec, options: CallOptions = {}): Promise<Exposure> {
    if (hostPort !== undefined) {
      throw unsupported(
        "which port a URL of a server has is the server's affair",
        "leave --host-port out, or use sbx forward",
      );
    }
    return this.#client.call("exposure.add", { ref, guestPort }, options);
  }

  async list(ref: string, options: CallOptions = {}): Promise<Exposure[]> {
    return this.#client.call("exposure.list", { ref }, options);
  }

  async remove(ref: string, guestPort: number, options: CallOptions = {}): Promise<Exposure> {
    return this.#client.call("exposure.remove", { ref, guestPort }, options);
  }
}
