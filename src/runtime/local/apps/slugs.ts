/** What apps and layers may be called. */
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { APP_SLUG } from "../../../protocol/app-values.ts";
import { usage } from "./app-faults.ts";

const ADJECTIVES = ["amber", "brisk", "calm", "clever", "dusky", "eager", "fair", "gentle", "keen", "lively", "mild"];
const NOUNS = ["acorn", "badger", "birch", "comet", "ember", "falcon", "harbor", "lynx", "maple", "otter", "river"];
/** 60 bits: nobody guesses the address of a preview. */
const REVISION_CHARS = 12;
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** @throws SbxError `usage` */
export function checkSlug(slug: string): string {
  // What looks like an id could never be found by its slug.
  if (APP_SLUG.test(slug) && !/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(slug)) return slug;
  throw usage(
    `${JSON.stringify(slug.slice(0, 128))} cannot be a slug`,
    "a slug has up to 50 lower-case letters, digits and single dashes, begins with a letter and ends with no dash",
  );
}

/** Where ids come from. */
export interface Identifiers {
  uuid: () => string;
  /** @param isFree whether nobody has it */
  slug: (isFree: (slug: string) => boolean) => string;
  revision: () => string;
}

export const RANDOM_IDENTIFIERS: Identifiers = { uuid: randomUUID, slug: randomSlug, revision: newRevisionId };

/** One that a person can say. */
function randomSlug(isFree: (slug: string) => boolean): string {
  for (;;) {
    const words = [ADJECTIVES, NOUNS].map((list) => list[randomInt(list.length)] ?? "app");
    const slug = `${words.join("-")}-${randomInt(1000, 10_000)}`;
    if (isFree(slug)) return slug;
  }
}

function newRevisionId(): string {
  return Array.from(randomBytes(REVISION_CHARS), (byte) => ALPHABET.charAt(byte & 31)).join("");
}
