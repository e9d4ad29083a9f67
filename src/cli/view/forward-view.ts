/** Forwarded ports, as lines. */
import type { TunnelTarget } from "../../runtime/runtime.ts";
import { describeTarget } from "../parsers/forward-operand.ts";

export interface ForwardWay {
  address: string;
  port: number;
  target: TunnelTarget;
}

/** `127.0.0.1:8080 -> 3000` */
export function forwardLine({ address, port, target }: ForwardWay): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port} -> ${describeTarget(target)}`;
}

export function forwardJson({ address, port, target }: ForwardWay): object {
  return { address, port, ...("port" in target ? { guestPort: target.port } : { guestPath: target.path }) };
}

/** Whether only this machine can reach an address. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^127(?:\.\d{1,3}){3}$/.test(address);
}
