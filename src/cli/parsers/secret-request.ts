/**
 * `--secret NAME@HOST,…` and the names of secrets. Input comes from the user, and where it does not parse it may be a
 * value that was put in the wrong place: nothing of it but a name is ever repeated.
 */
import { parseSecretHost, renderSecretHost } from "../../policy/secret-host.ts";
import type { SecretHost } from "../../policy/spec.ts";
import { SECRET_NAME } from "../../protocol/net-calls.ts";
import type { SecretRequest } from "../../runtime/types.ts";
import { splitPatterns } from "./pattern-list.ts";
import { usageError } from "./usage-error.ts";

/** @throws SbxError `usage` */
export function parseSecretName(text: string): string {
  if (SECRET_NAME.test(text)) return text;
  const equals = text.indexOf("=");
  if (equals !== -1) throw inlineValue(text.slice(0, equals));
  throw usageError(
    "the name of a secret has letters, digits and underscores, and no digit first",
    "use the name of its variable, such as EXAMPLE_API_KEY",
  );
}

/** Without a host it is for those that it was stored with. @throws SbxError `usage` */
export function parseSecretRequest(text: string): SecretRequest {
  const at = text.indexOf("@");
  const name = parseSecretName(at === -1 ? text : text.slice(0, at));
  if (at === -1) return { name, hosts: null };
  return { name, hosts: parseSecretHosts([text.slice(at + 1)]) };
}

/** Several requests, those for one secret joined. @throws SbxError `usage` */
export function parseSecretRequests(texts: readonly string[]): SecretRequest[] {
  const requests = new Map<string, SecretRequest>();
  for (const text of texts) {
    const { name, hosts } = parseSecretRequest(text);
    const before = requests.get(name);
    const joined = before === undefined ? hosts : joinHosts(before.hosts, hosts);
    requests.set(name, { name, hosts: joined });
  }
  return [...requests.values()];
}

/** @param texts each with commas between hosts @throws SbxError `usage` */
export function parseSecretHosts(texts: readonly string[]): SecretHost[] {
  return uniqueHosts(texts.flatMap(splitPatterns).map(parseSecretHost));
}

/** Whoever asks for all stored hosts does not mean fewer by naming one. */
function joinHosts(a: SecretRequest["hosts"], b: SecretRequest["hosts"]): SecretRequest["hosts"] {
  return a === null || b === null ? null : uniqueHosts([...a, ...b]);
}

function uniqueHosts(hosts: readonly SecretHost[]): SecretHost[] {
  return [...new Map(hosts.map((host) => [renderSecretHost(host), host])).values()];
}

function inlineValue(name: string): Error {
  const known = SECRET_NAME.test(name) ? name : "NAME";
  return usageError(
    `the value of ${known} does not belong on a command line: every process here can read that, and the shell keeps it`,
    `sbx secret set ${known} --host HOST (it asks for the value), then --secret ${known}@HOST`,
  );
}
