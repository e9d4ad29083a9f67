/** What the SSH door may do in the guest, over the agent link: the same processes and connections as the RPC's. */
import type { Duplex } from "node:stream";
import { openGuestSftp } from "../../guest/guest-sftp.ts";
import { dialGuest } from "../../guest/guest-socket.ts";
import { AgentError } from "../../guest/link.ts";
import type { SshAccount, SshAddress, SshGuest, SshProcess, SshProcessSpec } from "../../ssh/guest.ts";
import type { GuestState } from "../rpc/guest-state.ts";
import type { Launched, LaunchSpec } from "../rpc/process-table.ts";
import { findAccount } from "./accounts.ts";

/** Many programs ask whether they run under SSH, and bash reads its start-up file then. There are no addresses to tell. */
const SSH_VARIABLES = { SSH_CLIENT: "127.0.0.1 0 22", SSH_CONNECTION: "127.0.0.1 0 127.0.0.1 22" };

export class GuestAccess implements SshGuest {
  readonly #state: GuestState;

  constructor(state: GuestState) {
    this.#state = state;
  }

  async findAccount(name: string): Promise<SshAccount | undefined> {
    return findAccount(this.#state.link, name);
  }

  async start({ account, command, env, terminal }: SshProcessSpec): Promise<SshProcess> {
    const argv = command === undefined ? [account.shell, "-l"] : [account.shell, "-c", command];
    const spec: LaunchSpec = {
      argv,
      env: this.#environment(account, env),
      cwd: account.home,
      user: account.name,
      pty: terminal ?? null,
      stdin: true,
      stdout: true,
      stderr: terminal === undefined,
      // As with sshd: a session without a terminal is over when nobody can write to it any more.
      lingers: true,
    };
    try {
      return toProcess(await this.#launch(spec), this.#state);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      throw new Error(`${account.shell} of the account ${account.name} cannot be started: ${error.message}`);
    }
  }

  async connect(address: SshAddress, { name }: SshAccount, signal: AbortSignal): Promise<Duplex> {
    return dialGuest(this.#state.link, "path" in address ? { ...address, user: name } : address, { signal });
  }

  async openSftp(account: SshAccount): Promise<Duplex> {
    const { link } = this.#state;
    const open = (cwd: string): Promise<Duplex> => {
      return openGuestSftp(link, { env: this.#environment(account, {}), cwd, user: account.name });
    };
    try {
      return await open(account.home);
    } catch (error) {
      if (!isAbout(error, account.home)) throw error;
      return open("/");
    }
  }

  /** An account whose home is missing begins at the root, as with sshd. */
  async #launch(spec: LaunchSpec): Promise<Launched> {
    const { processes } = this.#state;
    try {
      return await processes.launch(spec);
    } catch (error) {
      if (!isAbout(error, spec.cwd) || spec.cwd === spec.argv[0]) throw error;
      return processes.launch({ ...spec, cwd: "/" });
    }
  }

  /** The sandbox's environment; what in it is about its ordinary account becomes another account's. */
  #environment({ name, home, shell }: SshAccount, asked: Readonly<Record<string, string>>): Record<string, string> {
    const { environment, home: ownHome } = this.#state;
    const own: Record<string, string> = { ...SSH_VARIABLES, HOME: home, USER: name, LOGNAME: name, SHELL: shell };
    const path = environment.get("PATH");
    if (path !== undefined && home !== ownHome) {
      own.PATH = path
        .split(":")
        .filter((directory) => !directory.startsWith(`${ownHome}/`))
        .join(":");
    }
    return environment.forProcess({ ...own, ...asked }, false);
  }
}

function isAbout(error: unknown, path: string): boolean {
  return error instanceof AgentError && error.path === path;
}

function toProcess({ process, stdin, stdout, stderr }: Launched, { link }: GuestState): SshProcess {
  if (stdin === null || stdout === null) throw new Error("a process without its streams");
  return {
    stdin,
    stdout,
    stderr: stderr ?? undefined,
    exit: process.exit,
    signal: (name) => void process.signal(name, true).catch(() => undefined), // it has ended
    resize: (size) => {
      if (!process.exited) link.call("resize", { pid: process.pid, ...size }).catch(() => undefined); // it has ended
    },
  };
}
