/** The tokens of a control plane on this machine, for the commands that keep them. */
import { SCOPES, type Scope } from "../../server/tokens/token-format.ts";
import type { TokenRecord, TokenStore } from "../../server/tokens/token-store.ts";

export { SCOPES };
export type { Scope, TokenRecord, TokenStore };

/** @param directory of the control plane; the default one if absent */
export async function openTokens(directory?: string): Promise<TokenStore> {
  const [{ TokenStore: Store }, { controlPlanePath }] = await Promise.all([
    import("../../server/tokens/token-store.ts"),
    import("../../runtime/select.ts"),
  ]);
  return Store.open(await controlPlanePath(directory));
}
