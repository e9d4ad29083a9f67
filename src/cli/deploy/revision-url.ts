/** Where a revision that came up answers; on this machine a server is started for it where there is none. */
import { SbxError } from "../../runtime/errors.ts";
import type { RevisionInfo } from "../../runtime/apps.ts";
import { ensureServer } from "../serve/background-server.ts";
import { backgroundNotice, gatewayUrl } from "../view/serve-view.ts";

export interface UrlWishes {
  /** Of the app or of its preview, below the gateway's domain. */
  name: string;
  /** Where a server says that it is. */
  domain?: string | undefined;
  /** Whether it was deployed on this machine. */
  isHere: boolean;
  /** Whether a server is started for it. */
  serves: boolean;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  notice: (text: string) => void;
}

/** Undefined where nobody serves it, which a person is told then. */
export async function findRevisionUrl(wishes: UrlWishes): Promise<string | undefined> {
  const { name, domain: known, isHere, serves, env, signal, notice } = wishes;
  if (known !== undefined) return `https://${known}`;
  if (!isHere || !serves) {
    notice(`while sbx serve runs it answers as https://${name}.${isHere ? "localhost" : "DOMAIN"}:PORT`);
    return undefined;
  }
  const server = await ensureServer(env, { signal });
  if (server.isNew) notice(backgroundNotice(server));
  if (server.gateway === null) {
    notice("sbx serve runs without a gateway, so the app has no URL");
    return undefined;
  }
  return gatewayUrl(name, server.gateway);
}

/** @throws SbxError why it did not come up */
export function requireUp(revision: RevisionInfo, slug: string, said: string | undefined): void {
  if (revision.status === "succeeded") return;
  const why = revision.failure ?? said ?? "unknown";
  throw new SbxError("guest_error", `the revision ${revision.id} did not come up: ${why}`, {
    hint: `sbx app logs ${slug} --build ${revision.id}`,
  });
}
