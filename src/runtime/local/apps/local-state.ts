/** The apps of a local runtime, in its own database and directories. */
import { systemKeyring } from "../../../store/secrets/keyring.ts";
import type { LocalState } from "../state.ts";
import type { AppRuntime } from "./instances.ts";
import type { WarmInstances } from "./warm-instances.ts";
import { openApps, type OpenApps } from "./open-apps.ts";

/** The way out, and whom to trust on it: what sandboxes of a revision see of this process's environment. */
const OWN_FIELD = /^(?:(?:https?|all|no)_proxy|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)$/i;

export function openLocalApps({ paths, database }: LocalState, runtime: AppRuntime, warm: WarmInstances): OpenApps {
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => OWN_FIELD.test(name)));
  return openApps({
    ...{ database, dataPath: paths.dataPath, statePath: paths.statePath, keyring: systemKeyring() },
    ...{ runtime, environment, warm, now: () => Date.now() },
  });
}
