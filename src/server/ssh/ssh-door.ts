/** What the API needs of the SSH gateway. */
import type { Caller } from "../tokens/authenticate.ts";
import type { SandboxPlace } from "./credential-store.ts";

export interface SshLogin {
  hostname: string;
  port: number;
  /** The secret. */
  username: string;
}

export interface SshDoor {
  /** A new user name for a sandbox, good as long as that runs and the caller's token holds. @throws ApiError `QUOTA_EXCEEDED` */
  mint(caller: Caller, sandboxId: string): SshLogin;
  /** Takes back all names of a sandbox, and hangs up on who uses them. */
  revoke(place: SandboxPlace): void;
}
