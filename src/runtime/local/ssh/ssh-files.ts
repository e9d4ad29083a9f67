/** Names of the files that SSH clients of this machine use, below a directory of sbx's own. */
import path from "node:path";
import type { SshFiles } from "../../ssh.ts";

/** @param identityPath of the private key */
export function sshFilesBelow(directoryPath: string, identityPath: string): SshFiles {
  return {
    ...{ directoryPath, identityPath },
    knownHostsPath: path.join(directoryPath, "known_hosts"),
    serverKnownHostsPath: path.join(directoryPath, "known_hosts.servers"),
  };
}
