/** `--resolve HOST:PORT:ADDRESS`, as curl has it. Input comes from the user. */
import { readHost } from "../../policy/host-name.ts";
import { MAX_PORT } from "../../policy/ports.ts";
import type { ResolveOverrideRecord } from "../../protocol/net-launch.ts";
import { quoteValue, usageError } from "./usage-error.ts";

const FORM = /^(\[[^\]]*\]|[^:]*):(\d{1,5}):(.+)$/;
const HINT = "write HOST:PORT:ADDRESS, such as api.example.com:443:127.0.0.1";

/** @throws SbxError `usage` */
export function parseResolveOverride(text: string): ResolveOverrideRecord {
  const [, hostText = "", portText = "", addressText = ""] = FORM.exec(text) ?? [];
  const host = readHost(hostText);
  const address = readHost(addressText);
  const port = Number(portText);
  if (host.kind === "refused") throw usageError(`${quoteValue(text)} names no host to resolve: ${host.why}`, HINT);
  if (address.kind !== "address") throw usageError(`${quoteValue(text)} has no address at its end`, HINT);
  if (port < 1 || port > MAX_PORT) throw usageError(`${quoteValue(text)} has no port from 1 to ${MAX_PORT}`, HINT);
  return { host: host.host, port, address: address.host };
}
