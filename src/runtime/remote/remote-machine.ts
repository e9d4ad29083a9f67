/** What can be said of a server from outside, in place of the machine under it, which is its operator's. */
import type { AboutAnswer } from "../../protocol/control-calls.ts";
import { SbxError } from "../errors.ts";
import type { MachineApi } from "../runtime.ts";
import type { CallOptions, Check } from "../types.ts";
import type { ControlClient } from "./control-client.ts";
import { unsupported } from "./unsupported.ts";

export class RemoteMachine implements MachineApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async setup(): Promise<Check[]> {
    throw unsupported(`${this.#client.endpoints.name} looks after its own machine`, "sbx setup --context local");
  }

  async doctor(options: CallOptions = {}): Promise<Check[]> {
    const server = { id: "server", title: "server" };
    try {
      const about = await this.#client.about(options);
      return about === undefined ? [this.#published(server)] : describe(about, this.#client.endpoints.name);
    } catch (error) {
      if (!(error instanceof SbxError) || error.code === "aborted") throw error;
      const fix = error.hint === undefined ? {} : { fix: error.hint };
      return [{ ...server, status: "failed", found: error.message, ...fix }];
    }
  }

  #published(check: Pick<Check, "id" | "title">): Check {
    const { name } = this.#client.endpoints;
    return {
      ...check,
      status: "info",
      found: `${name}, which has only the published API: commands beyond it are refused`,
    };
  }
}

function describe({ version, organisation, scopes }: AboutAnswer, name: string): Check[] {
  const missing = ["read", "sandboxes", "volumes"].filter((scope) => !scopes.includes(scope));
  return [
    { id: "server", title: "server", status: "ok", found: `${name}, sbx ${version}` },
    { id: "organisation", title: "organisation", status: "ok", found: organisation },
    {
      ...{ id: "token", title: "token", status: missing.length === 0 ? "ok" : "info" },
      found:
        missing.length === 0
          ? "good for everything"
          : `good for ${scopes.join(", ")}, and not for ${missing.join(", ")}`,
    },
  ];
}
