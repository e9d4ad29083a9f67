/** What gets to HTTP servers of the guest: URLs of this machine, and names of a control plane's gateway. */
import type { LoopbackDialer } from "../../guest/dial-loopback.ts";
import type { AgentLink } from "../../guest/link.ts";
import { AgentError } from "../../guest/link.ts";
import { listeningPorts } from "../rpc/listening-ports.ts";
import type { ProcessTable } from "../rpc/process-table.ts";
import { Domains } from "./domains.ts";
import { Exposures } from "./exposures.ts";
import { GuestPorts, type GuestPortsOptions } from "./guest-port.ts";

export interface GuestDoorsOptions {
  /** Of the sandbox. */
  id: string;
  name: string | null;
  guest: { link: AgentLink; loopback: LoopbackDialer; processes: ProcessTable };
  overCard: GuestPortsOptions["overCard"];
  isPaused: () => boolean;
}

export interface GuestDoors {
  exposures: Exposures;
  domains: Domains;
}

export function openGuestDoors({ id, name, guest, overCard, isPaused }: GuestDoorsOptions): GuestDoors {
  const { link, loopback, processes } = guest;
  const ports = new GuestPorts({ link, loopback, overCard });
  return {
    exposures: new Exposures({ id, name, ports, isPaused }),
    domains: new Domains({
      ref: name ?? id,
      ports,
      async portOf(pid, signal) {
        const [first, ...others] = await listeningPorts(link, processes.get(pid), signal);
        if (first === undefined) throw new AgentError("ECONNREFUSED", `process ${pid} listens on no port`);
        return Math.min(first, ...others);
      },
    }),
  };
}
