/** What all connections to one sandbox share: its environment, its processes, and where relative paths begin. */
import { LoopbackDialer } from "../../guest/dial-loopback.ts";
import type { AgentLink } from "../../guest/link.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import type { DomainTarget } from "../expose/domains.ts";
import { callTypeError, notSupported } from "./call-error.ts";
import type { DenoRepl } from "./deno-repl.ts";
import { Environment } from "./environment.ts";
import { type GuestProcess, type Launched, type ProcessObserver, ProcessTable } from "./process-table.ts";

export interface GuestStateOptions {
  link: AgentLink;
  /** Account that files and processes belong to unless a call says otherwise. */
  user: string;
  /** The account's home, which is also the default directory. Absolute. */
  home: string;
  /** Defaults of the environment: PATH, HOME and so on. */
  env: Readonly<Record<string, string>>;
  /** The sandbox as it is now, for `sbx.info`. */
  info: () => SandboxInfo;
  /** PEM certificates that `fetch` trusts beside the usual roots. */
  trustedCertificates?: () => readonly string[];
  /** Told of each process that clients start. */
  onProcess?: ProcessObserver;
  /** Takes over a process that runs in the background. Without it there are none. */
  keepOutput?: (launched: Launched, argv: readonly string[]) => void;
  /** Binds a name of the gateway; false for one that was not announced. Without it there is none. */
  bindDomain?: (domain: string, target: DomainTarget) => Promise<boolean>;
  /** VS Code for the browser. Without it there is none. */
  editor?: EditorSupport;
}

export interface EditorSupport {
  /** Has its disk in the guest. Returns whether the sandbox may connect to the URL. @throws SbxError */
  open(galleryUrl: string): Promise<boolean>;
}

export interface GuestState {
  readonly link: AgentLink;
  /** For servers on the guest's loopback. */
  readonly loopback: LoopbackDialer;
  readonly user: string;
  readonly home: string;
  readonly environment: Environment;
  readonly processes: ProcessTable;
  /** The REPLs among the processes. */
  readonly repls: WeakMap<GuestProcess, DenoRepl>;
  info(): SandboxInfo;
  trustedCertificates(): readonly string[];
  /** Takes over a process that no client waits for, and its output. @throws CallError where nobody would keep it */
  keepOutput(launched: Launched, argv: readonly string[]): void;
  /** False for a name that was not announced to this sandbox. */
  bindDomain(domain: string, target: DomainTarget): Promise<boolean>;
  readonly editor: EditorSupport;
  /** An absolute path for a path of a client's. @throws CallError if it holds a NUL */
  resolvePath(path: string): string;
}

export function createGuestState(options: GuestStateOptions): GuestState {
  const { link, user, home } = options;
  return {
    link,
    loopback: new LoopbackDialer(link),
    user,
    home,
    environment: new Environment(options.env),
    processes: new ProcessTable(link, options.onProcess),
    repls: new WeakMap(),
    info: options.info,
    trustedCertificates: options.trustedCertificates ?? (() => []),
    keepOutput:
      options.keepOutput ??
      (() => {
        throw notSupported("Processes in the background");
      }),
    bindDomain: options.bindDomain ?? (async () => false),
    editor: options.editor ?? {
      async open() {
        throw notSupported("VS Code");
      },
    },
    resolvePath(path) {
      if (path.includes("\0")) throw callTypeError("file name contained an unexpected NUL byte");
      // Joined, not normalised: only the guest knows what `link/..` is.
      return path.startsWith("/") ? path : `${home}/${path}`;
    },
  };
}
