/** Sandboxes over the published API alone (deno-sandbox-protocol, 1.2): what it tells, and what it can do. */
import * as z from "zod/mini";
import { sandboxTarget } from "../../protocol/sandbox-target.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions, SandboxInfo } from "../types.ts";
import { parseValue, type ControlClient } from "./control-client.ts";
import { readPages } from "./published-pages.ts";
import { fromPublished, publishedSandboxes, SANDBOX_ID } from "./sandbox-info.ts";

const LIST_PATH = "/api/v2/sandboxes";

export class PublishedApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async list(labels: Readonly<Record<string, string>>, { signal }: CallOptions): Promise<SandboxInfo[]> {
    const url = this.#client.endpoints.api(LIST_PATH);
    for (const [key, value] of Object.entries(labels)) url.searchParams.set(`labels[${key}]`, value);
    const found = await readPages(this.#client, url, publishedSandboxes(), signal);
    return found.map(fromPublished).sort((a, b) => b.createdAt - a.createdAt);
  }

  /** By id or its beginning: there are no names. */
  async get(ref: string, options: CallOptions): Promise<SandboxInfo> {
    const all = await this.list({}, options);
    const exact = all.find(({ id }) => id === ref);
    const fitting = exact === undefined ? all.filter(({ id }) => beginsWith(id, ref)) : [exact];
    const [only, other] = fitting;
    if (only === undefined) {
      throw new SbxError("sandbox_not_found", `there is no sandbox ${JSON.stringify(ref)}`, { hint: "sbx list" });
    }
    if (other === undefined) return only;
    throw new SbxError("sandbox_ambiguous", `${JSON.stringify(ref)} may mean ${only.id}, ${other.id} or more`, {
      hint: "sbx list",
    });
  }

  async remove(ref: string, options: CallOptions): Promise<SandboxInfo> {
    const info = await this.get(ref, options);
    if (info.status === "stopped") return info;
    await this.#client.published({ method: "DELETE", url: this.#at(info.id), signal: options.signal });
    return { ...info, status: "stopped", reason: "killed", stoppedAt: Date.now() };
  }

  async extend(ref: string, ms: number, options: CallOptions): Promise<number> {
    const id = SANDBOX_ID.test(ref) ? ref : (await this.get(ref, options)).id;
    const url = this.#at(id);
    const body = { stop_at_ms: Math.ceil(Date.now() + ms) };
    const { value } = await this.#client.published({ method: "PATCH", url, body, signal: options.signal });
    return parseValue(z.object({ stop_at_ms: z.number() }), value, url).stop_at_ms;
  }

  #at(id: string): URL {
    return this.#client.endpoints.sandboxes(sandboxTarget(id), id);
  }
}

/** An id also without what all of a region's begin with. */
function beginsWith(id: string, ref: string): boolean {
  return ref !== "" && (id.startsWith(ref) || id.slice("sbx_loc_".length).startsWith(ref));
}
