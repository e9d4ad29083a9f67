/** Stored secrets as text and JSON; never a value. */
import { renderSecretHost } from "../../policy/secret-host.ts";
import type { RotatedSandbox, SecretInfo, SecretKeyPlace } from "../../runtime/network.ts";
import { humanDuration } from "../output/human.ts";
import type { Column } from "../output/table.ts";

export const SECRET_COLUMNS: readonly Column[] = [
  { title: "NAME", minWidth: 12 },
  { title: "HOSTS", minWidth: 16 },
  { title: "SOURCE", minWidth: 10 },
  { title: "CHANGED" },
];

export function secretRow(secret: SecretInfo, nowMs: number): string[] {
  return [secret.name, hostsText(secret), sourceText(secret), `${humanDuration(nowMs - secret.updatedAt)} ago`];
}

export function hostsText({ hosts }: Pick<SecretInfo, "hosts">): string {
  return hosts.map(renderSecretHost).join(", ");
}

/** Such as `stored value`, `file /run/key`, `command pass show x`. */
function sourceText({ source, detail }: SecretInfo): string {
  if (source === "value") return "stored value";
  const kind = source === "env" ? "variable" : source;
  return detail === null ? kind : `${kind} ${detail}`;
}

export function keyText({ kind, description, problem }: SecretKeyPlace): string {
  const place = kind === "keyring" ? description : `the file ${description}`;
  return problem === null ? `encrypted with a key in ${place}` : `they cannot be read: ${problem}`;
}

export function secretJson(secret: SecretInfo): Record<string, unknown> {
  return {
    ...secret,
    hosts: secret.hosts.map(renderSecretHost),
    createdAt: new Date(secret.createdAt).toISOString(),
    updatedAt: new Date(secret.updatedAt).toISOString(),
  };
}

/** What became of a new value in a running sandbox. */
export function rotatedLine({ id, name, problem }: RotatedSandbox): string {
  const title = name ?? id;
  return problem === null ? `${title} has the new value` : `${title} still has the old value: ${problem}`;
}
