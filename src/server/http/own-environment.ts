/** What a runtime is to see of the server's own environment: the way out, and whom to trust on it. No secret is read from it. */
import type { CallerEnvironment } from "../../runtime/types.ts";

const FIELD = /^(?:(?:https?|all|no)_proxy|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)$/i;

type Environment = NonNullable<CallerEnvironment["environment"]>;

export function ownEnvironment(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => FIELD.test(name)));
}
