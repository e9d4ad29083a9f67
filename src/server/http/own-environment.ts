/** What a runtime is to see of the server's own environment: the way out, and whom to trust on it. No secret is read from it. */
import type { CallerEnvironment } from "../../runtime/types.ts";

const FIELD = /^(?:(?:https?|all|no)_proxy|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)$/i;

type Environment = NonNullable<CallerEnvironment["environment"]>;

/** Each look through `process.env` is some 50 µs, and every request would take one; a server's does not change. */
const chosen = new WeakMap<Environment, Environment>();

export function ownEnvironment(environment: Environment): Environment {
  const known = chosen.get(environment);
  if (known !== undefined) return known;
  const own = Object.freeze(Object.fromEntries(Object.entries(environment).filter(([name]) => FIELD.test(name))));
  chosen.set(environment, own);
  return own;
}
