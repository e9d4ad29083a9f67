/** This machine, for a runtime elsewhere. Its state is opened only where something of it is needed. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { ClientMachine, ClientSsh } from "../client-machine.ts";
import type { SecretApi } from "../network.ts";
import { statePaths, type StatePaths } from "./paths.ts";

export function localClientMachine(paths: StatePaths = statePaths()): ClientMachine {
  return {
    async grantSecrets(requests, { environment = {}, secretValues, signal }) {
      if (requests.length === 0) return [];
      const { openState } = await import("./state.ts");
      const { openVault } = await import("./secrets/local-secrets.ts");
      const { grantSecrets } = await import("./secrets/granted-secrets.ts");
      using state = await openState(process.env, paths);
      return await grantSecrets(requests, openVault(state), {
        ...{ environment, signal },
        ...(secretValues === undefined ? {} : { given: secretValues }),
      });
    },
    secrets: storedSecrets(paths),
    async planCopies(copies) {
      if (copies.length === 0) return [];
      const { planFolders } = await import("./folders/plan-folders.ts");
      return planFolders({ copies }, paths).copies.map(({ hostPath, isDirectory, guestPath }) => ({
        sources: [isDirectory ? `${hostPath}/.` : hostPath],
        destination: guestPath,
      }));
    },
    openSsh: async (server) => openSsh(path.join(paths.dataPath, "ssh"), server),
  };
}

/** The same as those of the runtime of this machine: they are its user's, wherever sandboxes are. */
function storedSecrets(paths: StatePaths): SecretApi {
  const use = async <T>(work: (secrets: SecretApi) => Promise<T>): Promise<T> => {
    const { openState } = await import("./state.ts");
    const { LocalSecrets, openVault } = await import("./secrets/local-secrets.ts");
    using state = await openState(process.env, paths);
    return await work(new LocalSecrets(state, openVault(state)));
  };
  return {
    names: async (options) => use(async (secrets) => secrets.names(options)),
    list: async (options) => use(async (secrets) => secrets.list(options)),
    set: async (secret, options) => use(async (secrets) => secrets.set(secret, options)),
    remove: async (name, options) => use(async (secrets) => secrets.remove(name, options)),
    rotate: async (name, source, options) => use(async (secrets) => secrets.rotate(name, source, options)),
  };
}

/** One key for all servers, and for each of them hosts of its own: two may have sandboxes of one name. */
async function openSsh(sshPath: string, server: string): Promise<ClientSsh> {
  const { openIdentity } = await import("./ssh/identity.ts");
  const { addHost, hasHost } = await import("./ssh/known-hosts.ts");
  const { privatePath, publicKey } = await openIdentity(sshPath);
  const directory = path.join(sshPath, "servers");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const knownHostsPath = path.join(directory, `${server}.known_hosts`);
  return {
    ...{ directoryPath: sshPath, identityPath: privatePath, knownHostsPath, publicKey },
    pin(host) {
      // Which sandboxes are gone is not known here; the file is cut where it grows long. What is lost where two commands
      // write at once is written again by the next connection.
      if (!hasHost(knownHostsPath, host)) addHost(knownHostsPath, host, () => true);
    },
  };
}
