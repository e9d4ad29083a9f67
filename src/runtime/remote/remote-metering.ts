/** What an organisation has used at a server, by the server's meter. */
import type { MeteredUsage, MeteringApi, MeteringQuery } from "../metering.ts";
import type { CallOptions } from "../types.ts";
import type { ControlClient } from "./control-client.ts";

export class RemoteMetering implements MeteringApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async read(query: MeteringQuery, options: CallOptions = {}): Promise<MeteredUsage[]> {
    return this.#client.call("usage.read", query, options);
  }
}
