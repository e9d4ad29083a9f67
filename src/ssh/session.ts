/**
 * One session (RFC 4254, section 6): what is set before its program starts, the program, and how it ended. As with sshd
 * a command is the account's shell's, and a session without one is a login shell.
 */
import type { Channel } from "./channel.ts";
import type { SshAccount, SshExit, SshGuest, SshProcess } from "./guest.ts";
import { MAX_NAME_BYTES, MAX_VARIABLES, MAX_VARIABLES_BYTES } from "./limits.ts";
import type { PayloadReader } from "./payload.ts";

/** Signals that have a name in SSH (RFC 4254, 6.10). */
const NAMED_SIGNALS: ReadonlySet<string> = new Set(
  ["ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2"].map(
    (name) => `SIG${name}`,
  ),
);
/** OpenSSH's client: whoever reads the output on its side has gone (OpenSSH's PROTOCOL, 2.1). */
const END_OF_WRITE = "eow@openssh.com";
/** Size of a terminal whose client has none, as of a VT100. */
const DEFAULT_SIZE = { cols: 80, rows: 24 };
const MAX_SIZE = 65_535;
/** The status with which a session ends that never began, as ssh itself ends then. */
const FAILED_STATUS = 255;
/** Names that the environment of a process can hold and that mean nothing to the loader before the shell runs. */
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

type Answer = (succeeded: boolean) => void;

export class Session {
  readonly #channel: Channel;
  readonly #guest: SshGuest;
  readonly #account: SshAccount;
  readonly #env = new Map<string, string>();
  #envBytes = 0;
  #terminal: { cols: number; rows: number } | undefined;
  /** Whether a program was asked for: a session has one. */
  #isTaken = false;
  #process: SshProcess | undefined;
  /** Whether nobody reads its output any more. */
  #isUnread = false;

  constructor(channel: Channel, guest: SshGuest, account: SshAccount) {
    this.#channel = channel;
    this.#guest = guest;
    this.#account = account;
  }

  /** @throws ProtocolError */
  request(type: string, reader: PayloadReader, answer: Answer): void {
    switch (type) {
      case "env":
        answer(this.#setVariable(reader.text(MAX_NAME_BYTES), reader.text()));
        return;
      case "pty-req":
        answer(this.#askForTerminal(reader));
        return;
      case "window-change":
        answer(this.#resize(readSize(reader)));
        return;
      case END_OF_WRITE:
        this.#isUnread = true;
        this.#process?.stdout.destroy();
        answer(true);
        return;
      case "signal":
        answer(this.#signal(`SIG${reader.text(MAX_NAME_BYTES)}`));
        return;
      case "shell":
      case "exec":
      case "subsystem":
        this.#begin(type, type === "shell" ? undefined : reader.text(), answer);
        return;
      default: // X11, an agent, and what is not known.
        answer(false);
    }
  }

  #setVariable(name: string, value: string): boolean {
    const bytes = this.#envBytes + name.length + Buffer.byteLength(value);
    const isFine = VARIABLE.test(name) && !value.includes("\0") && bytes <= MAX_VARIABLES_BYTES;
    if (!isFine || this.#isTaken || this.#env.size >= MAX_VARIABLES) return false;
    this.#envBytes = bytes;
    this.#env.set(name, value);
    return true;
  }

  #askForTerminal(reader: PayloadReader): boolean {
    const term = reader.text(MAX_NAME_BYTES);
    if (this.#isTaken || this.#terminal !== undefined) return false;
    this.#terminal = readSize(reader);
    if (!term.includes("\0")) this.#env.set("TERM", term === "" ? "dumb" : term);
    return true;
  }

  #resize(size: { cols: number; rows: number }): boolean {
    if (this.#terminal === undefined) return false;
    this.#terminal = size;
    this.#process?.resize(size);
    return true;
  }

  #signal(name: string): boolean {
    if (this.#process === undefined || !NAMED_SIGNALS.has(name)) return false;
    this.#process.signal(name);
    return true;
  }

  #begin(type: "shell" | "exec" | "subsystem", text: string | undefined, answer: Answer): void {
    if (this.#isTaken || (type === "subsystem" && text !== "sftp")) {
      answer(false);
      return;
    }
    this.#isTaken = true;
    if (type === "subsystem") void this.#sftp(answer);
    else void this.#run(text, answer);
  }

  async #run(command: string | undefined, answer: Answer): Promise<void> {
    const channel = this.#channel;
    const size = this.#terminal;
    let process;
    try {
      const env = Object.fromEntries(this.#env);
      process = await this.#guest.start({ account: this.#account, command, env, terminal: size });
    } catch (error) {
      answer(true);
      await this.#fail(error);
      return;
    }
    this.#process = process;
    answer(true);
    channel.receiveInto(process.stdin);
    // The client's window changed while the process was started.
    if (size !== undefined && this.#terminal !== undefined && size !== this.#terminal) process.resize(this.#terminal);
    if (this.#isUnread) process.stdout.destroy();
    const outputs = [channel.sendAll(process.stdout)];
    if (process.stderr !== undefined) outputs.push(channel.sendAll(process.stderr, "stderr"));
    const [exit] = await Promise.all([process.exit.catch(() => undefined), ...outputs]);
    this.#report(exit);
    channel.close();
  }

  async #sftp(answer: Answer): Promise<void> {
    const channel = this.#channel;
    let server;
    try {
      server = await this.#guest.openSftp(this.#account);
    } catch (error) {
      answer(true);
      await this.#fail(error);
      return;
    }
    answer(true);
    channel.receiveInto(server);
    await channel.sendAll(server);
    // A server that is gone before the client has said all was ended by something else: its client waits for answers.
    this.#report({ code: server.writableEnded ? 0 : 1, signal: null });
    channel.close();
  }

  /** The client prints why, and ends with the status that means that there was no session. */
  async #fail(error: unknown): Promise<void> {
    const why = error instanceof Error ? error.message : String(error);
    this.#channel.receiveInto(undefined);
    await this.#channel.send(Buffer.from(`sbx: ${why}\r\n`), "stderr");
    this.#report({ code: FAILED_STATUS, signal: null });
    this.#channel.close();
  }

  #report(exit: SshExit | undefined): void {
    if (exit === undefined) return; // The sandbox is gone: how the process ended, nobody knows.
    const { code, signal } = exit;
    if (signal !== null && NAMED_SIGNALS.has(signal)) {
      this.#channel.request("exit-signal", signal.slice("SIG".length), false, "", "");
    } else this.#channel.request("exit-status", code);
  }
}

/** Columns and rows; what is in pixels is nobody's concern here. */
function readSize(reader: PayloadReader): { cols: number; rows: number } {
  const [cols, rows] = [reader.uint32(), reader.uint32()];
  return {
    cols: cols === 0 ? DEFAULT_SIZE.cols : Math.min(cols, MAX_SIZE),
    rows: rows === 0 ? DEFAULT_SIZE.rows : Math.min(rows, MAX_SIZE),
  };
}
