/** Connections to sandboxes of a control plane: WebSockets that speak their RPC (runtime/sandbox). */
import { connectTarget } from "../../protocol/sandbox-target.ts";
import type { ClientMachine } from "../client-machine.ts";
import { SbxError } from "../errors.ts";
import { connectRpc, type RpcClient } from "../sandbox/rpc-client.ts";
import { RpcSandbox, type RpcSandboxOptions, type StagingRecords } from "../sandbox/rpc-sandbox.ts";
import type { CallOptions, SandboxInfo } from "../types.ts";
import type { ControlClient } from "./control-client.ts";
import { SANDBOX_ID, unknownInfo, withoutProcesses } from "./sandbox-info.ts";

/**
 * Connects to a running sandbox.
 *
 * @param known what is known of it, for a server that tells nothing over the connection
 * @throws SbxError as the server refuses it, `connection_closed`
 */
export async function connectSandbox(
  client: ControlClient,
  id: string,
  { signal, machine }: CallOptions & { machine: ClientMachine },
  known?: SandboxInfo,
): Promise<RpcSandbox> {
  const rpc = await openRpc(client, client.endpoints.webSocket(connectTarget(id), id), {}, { signal });
  return toSandbox(client, rpc, { id, known, signal, machine });
}

/** @param fields of the handshake, beside those that every request has */
export async function openRpc(
  client: ControlClient,
  url: string,
  fields: Readonly<Record<string, string>>,
  { signal, handshakeTimeoutMs }: { signal: AbortSignal | undefined; handshakeTimeoutMs?: number },
): Promise<RpcClient> {
  return connectRpc({
    ...{ url, headers: { ...client.endpoints.headers, ...fields }, agent: client.webSocketAgent(url) },
    ...{ handshakeTimeoutMs, ...(signal === undefined ? {} : { signal }) },
  });
}

export interface OpenedSandbox {
  machine: ClientMachine;
  /** That was asked for; of a new one, the server says it. */
  id?: string;
  known?: SandboxInfo | undefined;
  signal: AbortSignal | undefined;
  onDispose?: RpcSandboxOptions["onDispose"];
}

/** The handle of what a connection leads to. Closes the connection if it is not what it should be. */
export async function toSandbox(client: ControlClient, rpc: RpcClient, opened: OpenedSandbox): Promise<RpcSandbox> {
  try {
    const id = requireId(client, rpc, opened.id);
    const told = rpc.hasExtensions ? await rpc.call("sbx.info", {}, { signal: opened.signal }) : undefined;
    if (told !== undefined && told.id !== id) throw wrongSandbox(client);
    const info = withoutProcesses(told ?? opened.known ?? unknownInfo(id));
    const { onDispose, machine } = opened;
    const openStaging = async (): Promise<StagingRecords> => machine.openStaging();
    return new RpcSandbox({ client: rpc, info, openStaging, ...(onDispose === undefined ? {} : { onDispose }) });
  } catch (error) {
    await rpc.close();
    const { guestError } = await import("../sandbox/guest-errors.ts");
    throw guestError(error, "asking the sandbox what it is");
  }
}

function requireId(client: ControlClient, { sandboxId }: RpcClient, wanted: string | undefined): string {
  if (sandboxId === undefined || !SANDBOX_ID.test(sandboxId)) throw wrongSandbox(client);
  if (wanted !== undefined && sandboxId !== wanted) throw wrongSandbox(client);
  return sandboxId;
}

function wrongSandbox({ endpoints }: ControlClient): SbxError {
  return new SbxError("server_failed", `${endpoints.name} does not say which sandbox it connects to, or another one`, {
    hint: "see whether it is the server that is meant: sbx context list",
  });
}
