/** Servers of a sandbox that have a URL. A URL is for HTTP, and whoever knows it has access to the server. */
import type { CallOptions } from "./types.ts";

export interface ExposureApi {
  /**
   * Gives a port of a running sandbox a URL, for as long as the sandbox lives. Nothing has to listen yet. Repeated, it
   * returns the same one.
   *
   * @throws SbxError `port_in_use` where this machine's port is taken
   */
  add(ref: string, spec: ExposeSpec, options?: CallOptions): Promise<Exposure>;
  /** By port. */
  list(ref: string, options?: CallOptions): Promise<Exposure[]>;
  /**
   * Takes the URL of a port away; who uses it is cut off.
   *
   * @throws SbxError `exposure_not_found`
   */
  remove(ref: string, guestPort: number, options?: CallOptions): Promise<Exposure>;
}

export interface ExposeSpec {
  guestPort: number;
  /** On this machine. A remote runtime refuses it with `unsupported`. */
  hostPort?: number;
}

export interface Exposure {
  guestPort: number;
  /** On this machine. */
  hostPort: number;
  /** `http://NAME.localhost:PORT`, without a path. */
  url: string;
  createdAt: number;
}
