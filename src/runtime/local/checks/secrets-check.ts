/** Whether stored secrets can be read, and where the key that they are encrypted with lies. */
import type { SecretVault } from "../../../store/secrets/vault.ts";
import type { Check } from "../../types.ts";
import { failed, failedBy, info, ok } from "./check-result.ts";

const SUBJECT = { id: "secrets", title: "Stored secrets" };

export async function checkSecrets(vault: SecretVault): Promise<Check> {
  try {
    const secrets = await vault.list();
    const key = await vault.keyPlace();
    if (key === null) return info(SUBJECT, "none");
    const count = `${secrets.length} ${secrets.length === 1 ? "secret" : "secrets"}, encrypted`;
    if (key.problem !== null) return failed(SUBJECT, `${count}, but ${key.problem}`, "sbx secret list");
    return ok(SUBJECT, `${count}; the key is in ${key.description}`);
  } catch (error) {
    return failedBy(SUBJECT, error, "sbx secret list");
  }
}
