/** A control plane that runs: its records, its runtimes, its port. */
import type { OrganisationRuntimes } from "../runtime/organisations.ts";
import { OWN_ORGANISATION } from "../runtime/organisations.ts";
import { ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { openHttpServer, type HttpServer, type ListenAddress } from "./http/server.ts";

export interface ServeOptions extends ControlPlaneOptions {
  runtimes: OrganisationRuntimes;
  listen: ListenAddress;
}

/** Ready when this returns. @throws SbxError `port_in_use`, and why the user's own runtime cannot be opened */
export async function openServer({ listen, ...options }: ServeOptions): Promise<HttpServer> {
  const plane = new ControlPlane(options);
  try {
    // Whatever is wrong with the state is said at once, and not to the first client.
    await plane.tenants.open(OWN_ORGANISATION);
    return await openHttpServer(plane, listen);
  } catch (error) {
    await plane[Symbol.asyncDispose]();
    throw error;
  }
}
