/** This machine, for a runtime elsewhere. Its state is opened only where something of it is needed. */
import path from "node:path";
import type { ClientMachine, ClientSsh, CopyRecords } from "../client-machine.ts";
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
    async planCopies(copies, server) {
      if (copies.length === 0) return { make: async () => undefined };
      const { planFolders } = await import("./folders/plan-folders.ts");
      const planned = planFolders({ copies }, paths).copies;
      return {
        async make(sandbox, options) {
          const { makeCopiesDirectory } = await import("./folders/copies-on-servers.ts");
          const { makeInitialCopies } = await import("./folders/initial-copies.ts");
          const directory = makeCopiesDirectory(paths, { server, id: sandbox.id });
          // A directory that is there receives what is copied, under the names that are written down.
          for (const { isDirectory, guestPath } of planned) {
            if (isDirectory) await sandbox.files.makeDirectory(guestPath, options);
          }
          await makeInitialCopies(sandbox, planned, directory, options);
        },
      };
    },
    copies: {
      list: async (sandbox) => (await copiesOf(paths)).list(sandbox),
      compare: async (sandbox, options) => (await copiesOf(paths)).compare(sandbox, options),
    },
    async openStaging() {
      const { openState } = await import("./state.ts");
      const { recordStaging } = await import("./abandoned-copies.ts");
      const state = await openState(process.env, paths);
      return {
        record: (stagingPath) => recordStaging(state.staging, stagingPath),
        [Symbol.dispose]: () => state[Symbol.dispose](),
      };
    },
    openSsh: async () => openSsh(path.join(paths.dataPath, "ssh")),
  };
}

async function copiesOf(paths: StatePaths): Promise<CopyRecords> {
  return (await import("./folders/copies-on-servers.ts")).copyRecords(paths);
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

/** One key for all servers. A host's name has its context's in it: no two servers have the same one. */
async function openSsh(sshPath: string): Promise<ClientSsh> {
  const { openIdentity } = await import("./ssh/identity.ts");
  const { addHost, hasHost } = await import("./ssh/known-hosts.ts");
  const { sshFilesBelow } = await import("./ssh/ssh-files.ts");
  const { privatePath, publicKey } = await openIdentity(sshPath);
  const files = sshFilesBelow(sshPath, privatePath);
  const { serverKnownHostsPath: hostsPath } = files;
  return {
    ...{ ...files, publicKey },
    pin(host) {
      // Which sandboxes are gone is not known here; the file is cut where it grows long. What is lost where two commands
      // write at once is written again by the next connection.
      if (!hasHost(hostsPath, host)) addHost(hostsPath, host, () => true);
    },
  };
}
