/** Where a server is to listen: `127.0.0.1:8787`, `[::1]:8787`, `0.0.0.0:0`. Input comes from the user. */
import { isIP } from "node:net";
import { quoteValue, usageError } from "./usage-error.ts";

const MAX_PORT = 65_535;

export interface ListenAddress {
  host: string;
  /** 0 for a free one. */
  port: number;
}

/** @throws SbxError `usage` */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const isAddress = match?.[1] === undefined ? host === "localhost" || isIP(host) === 4 : isIP(host) === 6;
  if (match !== null && isAddress && port <= MAX_PORT) return { host, port };
  throw usageError(`${quoteValue(text)} is not an address and a port`, "write it as 127.0.0.1:8787 or [::1]:8787");
}

/** Whether only programs of this machine can reach it. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
