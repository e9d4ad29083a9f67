/**
 * The ssh_config(5) that tells OpenSSH how to reach sandboxes. Pure. It must be read by every version from 8.4 on: an
 * option that a version does not know would keep that ssh from starting at all, for any host.
 */
import { SbxError } from "../../runtime/errors.ts";
import type { SshFiles } from "../../runtime/ssh.ts";

/** What sandboxes' host names end with. */
export const HOST_SUFFIX = ".sbx";
/** Hosts that the configuration is not for. Quotes are all that a name could leave the quoted word of the command by. */
const NO_QUOTE = `"!*'*"`;
/** The account that a sandbox is used with unless another one is asked for. */
const GUEST_USER = "app";

export interface ClientConfig {
  files: SshFiles;
  /** How sbx is started, as an argument vector. */
  program: readonly string[];
  /** Variables that sbx finds its state by; an ssh that an editor starts may lack them. */
  env: Readonly<Record<string, string>>;
  /** The client, if it is known. */
  version: SshVersion | undefined;
}

export interface SshVersion {
  major: number;
  minor: number;
}

/** `OpenSSH_9.2p1 Debian-2+deb12u6, …`, which `ssh -V` prints. */
export function parseSshVersion(text: string): SshVersion | undefined {
  const [, major, minor] = /^OpenSSH_(?:for_Windows_)?(\d{1,3})\.(\d{1,3})/.exec(text) ?? [];
  return major === undefined || minor === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

/** @throws SbxError `config_invalid` for paths that ssh_config cannot hold */
export function clientConfig({ files, program, env, version }: ClientConfig): string {
  const options = [
    `ProxyCommand ${proxyCommand(program, env)}`,
    // The command hands over a connected socket and ends: nothing copies bytes in between.
    "ProxyUseFdpass yes",
    `User ${GUEST_USER}`,
    `IdentityFile ${configPath(files.identityPath)}`,
    "IdentitiesOnly yes",
    "IdentityAgent none",
    "AddKeysToAgent no",
    "PreferredAuthentications publickey",
    `UserKnownHostsFile ${configPath(files.knownHostsPath)}`,
    "GlobalKnownHostsFile /dev/null",
    "StrictHostKeyChecking yes",
    "HostKeyAlgorithms ssh-ed25519",
    "CheckHostIP no",
    "UpdateHostKeys no",
    "VerifyHostKeyDNS no",
    "CanonicalizeHostname no",
    "ForwardAgent no",
    "ForwardX11 no",
    "Compression no",
    "SendEnv COLORTERM",
    // The connection never leaves this machine, or does so inside TLS.
    ...(knowsWeakCrypto(version) ? ["WarnWeakCrypto no-pq-kex"] : []),
  ];
  // Of each option the first value holds. A connection to a server is no socket of this machine that could be handed over.
  const onServers = ["ProxyUseFdpass no", `UserKnownHostsFile ${configPath(files.serverKnownHostsPath)}`];
  const lines = options.map((option) => `  ${option}`);
  return [
    "# Made by sbx, which writes it anew: changes are lost.",
    `Host *.*${HOST_SUFFIX} ${NO_QUOTE}`,
    ...onServers.map((option) => `  ${option}`),
    `Host *${HOST_SUFFIX} ${NO_QUOTE}`,
    ...lines,
    "",
  ].join("\n");
}

/** Since 10.1, which warns of every key exchange without a post-quantum part. */
function knowsWeakCrypto(version: SshVersion | undefined): boolean {
  return version !== undefined && (version.major > 10 || (version.major === 10 && version.minor >= 1));
}

/** A line for the shell, which ssh starts with `exec`; `%h` is the host name. */
function proxyCommand(program: readonly string[], env: ClientConfig["env"]): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const words = [...(variables.length > 0 ? ["env", ...variables] : []), ...program, "ssh-proxy"];
  return [...words.map(shellWord), "'%h'"].join(" ");
}

/** In single quotes always: older versions of ssh put into the line whatever was called a host name ({@link NO_QUOTE}). */
function shellWord(word: string): string {
  refuseNewlines(word);
  return `'${word.replaceAll("'", `'\\''`).replaceAll("%", "%%")}'`;
}

function configPath(path: string): string {
  refuseNewlines(path);
  if (path.includes('"') || path.includes("${")) {
    throw new SbxError("config_invalid", `OpenSSH's configuration cannot hold the path ${JSON.stringify(path)}`, {
      hint: "export SBX_HOME=/a/directory/with/a/plain/name",
    });
  }
  return `"${path.replaceAll("%", "%%")}"`;
}

function refuseNewlines(text: string): void {
  if (!/[\n\r\0]/.test(text)) return;
  throw new SbxError("config_invalid", `OpenSSH's configuration cannot hold ${JSON.stringify(text)}`, {
    hint: "install sbx in a directory with a plain name",
  });
}
