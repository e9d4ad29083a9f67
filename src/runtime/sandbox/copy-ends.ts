/** What a copy is between. */
import type { RpcClient } from "./rpc-client.ts";

/** One end of a copy: a sandbox by its connection, with its id for messages. */
export interface CopyEnd {
  client: RpcClient;
  id: string;
}

export interface GuestSources {
  paths: string[];
  /** Whether the guest takes them for patterns. */
  globs: boolean;
}

export interface GuestDestination {
  path: string;
  /** Whether sources land in it under their own names. */
  directory: boolean;
}
