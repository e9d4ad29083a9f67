/**
 * SSH behind the supervisor's socket. Whoever can open that socket may do anything to the sandbox; the key that it names
 * is what the client on the other end of the connection has to have. The host key is made when it is first needed and
 * exists in this process only. A control plane, which has clients of its own with another key, sends on their messages.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { makeOpensshKey } from "../../host/openssh-key.ts";
import { SANDBOX_ID_HEADER } from "../../protocol/rpc-messages.ts";
import {
  SSH_FIRST_HEADER,
  SSH_HOST_KEY_HEADER,
  SSH_KEY_HEADER,
  SSH_MESSAGES_UPGRADE,
  SSH_TARGET,
  SSH_UPGRADE,
} from "../../protocol/ssh-upgrade.ts";
import type { SshServer } from "../../ssh/server.ts";
import { refuseUpgrade } from "../door-http.ts";
import type { GuestState } from "../rpc/guest-state.ts";

export interface SshDoorOptions {
  id: string;
  /** Undefined while the guest cannot be used, or not any more. */
  state: () => GuestState | undefined;
}

interface Opened {
  server: SshServer;
  publicKey: string;
}

export class SshDoor {
  readonly #options: SshDoorOptions;
  #opened: Promise<Opened> | undefined;
  #server: SshServer | undefined;

  constructor(options: SshDoorOptions) {
    this.#options = options;
  }

  /** Takes an upgrade request if it is one for SSH; says whether it is. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (request.url !== SSH_TARGET) return false;
    this.#accept(request, socket, head).catch((error: unknown) => {
      refuseUpgrade(socket, 500, "internal", error instanceof Error ? error.message : String(error));
    });
    return true;
  }

  /** Hangs up on all clients, and tells them why. */
  close(why: string): void {
    this.#server?.close(why);
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const state = this.#options.state();
    if (state === undefined) {
      refuseUpgrade(socket, 503, "sandbox_stopped", "the sandbox is not running");
      return;
    }
    if (request.headers.upgrade === SSH_MESSAGES_UPGRADE) {
      await this.#acceptKnown(state, socket, head);
      return;
    }
    if (request.headers.upgrade !== SSH_UPGRADE) {
      refuseUpgrade(socket, 400, "usage", `${SSH_TARGET} is for upgrades to ${SSH_UPGRADE}, ${SSH_MESSAGES_UPGRADE}`);
      return;
    }
    const { parsePublicKey } = await import("../../ssh/public-key.ts");
    const line = request.headers[SSH_KEY_HEADER];
    const key = typeof line === "string" ? parsePublicKey(line) : undefined;
    if (key === undefined) {
      refuseUpgrade(socket, 400, "usage", `${SSH_KEY_HEADER} holds no ssh-ed25519 key`);
      return;
    }
    const { server, publicKey } = await (this.#opened ??= this.#open(state));
    if (!this.#grant(server, socket, head, [`upgrade: ${SSH_UPGRADE}`, `${SSH_HOST_KEY_HEADER}: ${publicKey}`])) return;
    server.accept(socket, key, { waitsForClient: request.headers[SSH_FIRST_HEADER] === "client" });
  }

  /** As the account whose processes those of the RPC are. */
  async #acceptKnown(state: GuestState, socket: Duplex, head: Buffer): Promise<void> {
    const { server } = await (this.#opened ??= this.#open(state));
    const { findAccount } = await import("./accounts.ts");
    const account = await findAccount(state.link, state.user);
    if (account === undefined) {
      refuseUpgrade(socket, 503, "guest_error", `the sandbox has no account ${JSON.stringify(state.user)}`);
      return;
    }
    if (this.#grant(server, socket, head, [`upgrade: ${SSH_MESSAGES_UPGRADE}`])) server.acceptKnown(socket, account);
  }

  /** Answers the request; false where there is no room for one more. */
  #grant(server: SshServer, socket: Duplex, head: Buffer, fields: readonly string[]): boolean {
    if (!server.hasRoom) {
      refuseUpgrade(socket, 503, "insufficient_resources", "the sandbox has as many SSH connections as it takes");
      return false;
    }
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "connection: Upgrade",
      `${SANDBOX_ID_HEADER}: ${this.#options.id}`,
      ...fields,
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    return true;
  }

  async #open(state: GuestState): Promise<Opened> {
    const [{ SshServer }, { GuestAccess }] = await Promise.all([
      import("../../ssh/server.ts"),
      import("./guest-access.ts"),
    ]);
    const { privateKey, publicKey } = makeOpensshKey(this.#options.id);
    this.#server = new SshServer({ guest: new GuestAccess(state), hostKey: privateKey });
    return { server: this.#server, publicKey };
  }
}
