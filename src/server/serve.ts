/** A control plane that runs: its records, its runtimes, its ports. */
import type { OrganisationRuntimes } from "../runtime/organisations.ts";
import { OWN_ORGANISATION } from "../runtime/organisations.ts";
import { ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { PublicGateway, type PublicGatewaySettings } from "./gateway/public-gateway.ts";
import { openHttpServer, type ListenAddress } from "./http/server.ts";
import { SshGateway, type SshGatewaySettings } from "./ssh/gateway.ts";

export interface ServeOptions extends ControlPlaneOptions {
  runtimes: OrganisationRuntimes;
  listen: ListenAddress;
  /** Absent where SSH is not offered. */
  ssh?: SshGatewaySettings;
  /** Absent where there is no gateway. */
  gateway?: PublicGatewaySettings;
}

export interface ControlServer extends AsyncDisposable {
  /** Where it listens, without a final slash. */
  readonly url: string;
  readonly ssh: SshFacts | undefined;
  readonly gateway: GatewayFacts | undefined;
}

/** What a user has to know of the gateway. */
export interface GatewayFacts {
  domain: string;
  port: number;
  /** For programs to trust; null where the certificate is none of its own. */
  certificatePath: string | null;
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
export async function openServer({ listen, ssh, gateway, ...options }: ServeOptions): Promise<ControlServer> {
  const plane = new ControlPlane(options);
  const doors: AsyncDisposable[] = [];
  try {
    // Whatever is wrong with the state is said at once, and not to the first client.
    await plane.tenants.open(OWN_ORGANISATION);
    const sshGateway = ssh === undefined ? undefined : await openSsh(plane, ssh);
    if (sshGateway !== undefined) doors.push(sshGateway);
    const httpGateway = gateway === undefined ? undefined : await openGateway(plane, gateway);
    if (httpGateway !== undefined) doors.push(httpGateway);
    const http = await openHttpServer(plane, listen);
    return {
      url: http.url,
      ssh: sshGateway === undefined ? undefined : factsOf(sshGateway),
      gateway: httpGateway,
      async [Symbol.asyncDispose]() {
        await Promise.all([http, ...doors].map(async (port) => port[Symbol.asyncDispose]()));
      },
    };
  } catch (error) {
    for (const door of doors) await door[Symbol.asyncDispose]();
    await plane[Symbol.asyncDispose]();
    throw error;
  }
}

async function openGateway(plane: ControlPlane, settings: PublicGatewaySettings): Promise<PublicGateway> {
  const { tenants } = plane;
  const { tokens, log, now } = plane.options;
  const isOrganisation = (name: string): boolean => name === OWN_ORGANISATION || tokens.isForOrganisation(name);
  const gateway = await PublicGateway.open({ ...settings, tenants, tokens, isOrganisation, log, now });
  plane.doors.http = gateway;
  plane.addGauge("sbx_gateway_connections", () => gateway.connections);
  return gateway;
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
