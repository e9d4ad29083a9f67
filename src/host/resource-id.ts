/** Ids of sandboxes and disks: a kind, a region of three letters, 20 characters (deno-sandbox protocol, 1.3). */
import { randomBytes } from "node:crypto";

/** 32 of the 33 characters that the form allows, so that a byte's low bits choose without bias. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 20;

export function newResourceId(kind: string, region: string): string {
  const characters = Array.from(randomBytes(LENGTH), (byte) => ALPHABET.charAt(byte & 31));
  return `${kind}_${region}_${characters.join("")}`;
}
