/** A control plane that runs: its records, its runtimes, its ports. */
import type { OrganisationRuntimes } from "../runtime/organisations.ts";
import { OWN_ORGANISATION } from "../runtime/organisations.ts";
import { ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { openHttpServer, type ListenAddress } from "./http/server.ts";
import { SshGateway, type SshGatewaySettings } from "./ssh/gateway.ts";

export interface ServeOptions extends ControlPlaneOptions {
  runtimes: OrganisationRuntimes;
  listen: ListenAddress;
  /** Absent where SSH is not offered. */
  ssh?: SshGatewaySettings;
}

export interface ControlServer extends AsyncDisposable {
  /** Where it listens, without a final slash. */
  readonly url: string;
  readonly ssh: SshFacts | undefined;
}

/** What a client has to know to connect. */
export interface SshFacts {
  hostname: string;
  port: number;
  /** `ssh-ed25519 AAAA…`. */
  hostKey: string;
  fingerprint: string;
}

/** Ready when this returns. @throws SbxError `port_in_use`, and why the user's own runtime cannot be opened */
export async function openServer({ listen, ssh, ...options }: ServeOptions): Promise<ControlServer> {
  const plane = new ControlPlane(options);
  let gateway: SshGateway | undefined;
  try {
    // Whatever is wrong with the state is said at once, and not to the first client.
    await plane.tenants.open(OWN_ORGANISATION);
    gateway = ssh === undefined ? undefined : await openSsh(plane, ssh);
    const http = await openHttpServer(plane, listen);
    const ports: readonly AsyncDisposable[] = gateway === undefined ? [http] : [http, gateway];
    return {
      url: http.url,
      ssh: gateway === undefined ? undefined : factsOf(gateway),
      async [Symbol.asyncDispose]() {
        await Promise.all(ports.map(async (port) => port[Symbol.asyncDispose]()));
      },
    };
  } catch (error) {
    await gateway?.[Symbol.asyncDispose]();
    await plane[Symbol.asyncDispose]();
    throw error;
  }
}

async function openSsh(plane: ControlPlane, settings: SshGatewaySettings): Promise<SshGateway> {
  const { tenants } = plane;
  const { tokens, log, now } = plane.options;
  const gateway = await SshGateway.open({ ...settings, tenants, tokens, log, now });
  plane.doors.ssh = gateway;
  plane.addGauge("sbx_ssh_connections", () => gateway.connections);
  return gateway;
}

function factsOf({ address, hostKey }: SshGateway): SshFacts {
  return { ...address, hostKey: hostKey.publicKey, fingerprint: hostKey.fingerprint };
}
