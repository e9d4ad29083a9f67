/** Images of a server: they are made and removed on its own machine. */
import type { ImageApi } from "../runtime.ts";
import type { CallOptions, ImageInfo } from "../types.ts";
import type { ControlClient } from "./control-client.ts";
import { unsupported } from "./unsupported.ts";

export class RemoteImages implements ImageApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async list(options: CallOptions = {}): Promise<ImageInfo[]> {
    return this.#client.call("image.list", {}, options);
  }

  async get(ref: string, options: CallOptions = {}): Promise<ImageInfo> {
    return this.#client.call("image.get", { ref }, options);
  }

  async verify(): Promise<ImageInfo> {
    throw this.#operators("verified");
  }

  async build(): Promise<ImageInfo> {
    throw this.#operators("built");
  }

  async remove(): Promise<ImageInfo> {
    throw this.#operators("removed");
  }

  #operators(what: string): Error {
    const { name } = this.#client.endpoints;
    return unsupported(`images of ${name} are ${what} on its own machine`, "sbx image list shows what there is");
  }
}
