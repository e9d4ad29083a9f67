/** Where a control plane is, and what every request to it carries. */
import { isLoopback } from "../contexts/endpoint.ts";

export interface RemoteEndpoint {
  /** Of the API: `https://HOST[:PORT]`. */
  endpoint: string;
  /**
   * Of the service that sandboxes are reached at: the same if absent or null, unless the API is the published service's.
   * `{region}` in it stands for a sandbox's region.
   */
  sandboxEndpoint?: string | null;
  token: string;
  /** A token that is for several organisations needs one. */
  organisation?: string | null;
}

/** The published service: its API, and where its sandboxes are (deno-sandbox-protocol, 1.1). */
const PUBLISHED_API = "https://console.deno.com";
const PUBLISHED_SANDBOXES = "https://{region}.sandbox-api.deno.net";
/** Where a sandbox is made if nobody says otherwise. */
const DEFAULT_REGION = "ord";

export class Endpoints {
  readonly headers: Readonly<Record<string, string>>;
  /** Where it is, for a person. */
  readonly name: string;
  readonly #api: URL;
  readonly #sandboxes: string;

  constructor({ endpoint, sandboxEndpoint, token, organisation }: RemoteEndpoint) {
    this.#api = new URL(endpoint);
    this.name = this.#api.origin;
    this.#sandboxes = sandboxEndpoint ?? (this.name === PUBLISHED_API ? PUBLISHED_SANDBOXES : this.name);
    this.headers = {
      authorization: `Bearer ${token}`,
      ...(organisation === undefined || organisation === null ? {} : { "x-deno-org": organisation }),
    };
  }

  /** Whether nothing that is sent there leaves this machine. */
  get isOwnMachine(): boolean {
    return isLoopback(this.#api.hostname);
  }

  api(path: string): URL {
    return new URL(path, this.#api);
  }

  /** @param id of the sandbox that it is about; none for a new one */
  sandboxes(path: string, id?: string): URL {
    const region = id?.split("_")[1] ?? DEFAULT_REGION;
    return new URL(path, this.#sandboxes.replace("{region}", region));
  }

  /** The same as a WebSocket's address. */
  webSocket(path: string, id?: string): string {
    return this.sandboxes(path, id).href.replace(/^http/, "ws");
  }
}
