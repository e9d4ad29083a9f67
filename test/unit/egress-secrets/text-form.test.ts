/** Reading escapes: what is found is what trying every way one after the other finds, and no text makes that expensive. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapesOfByte, escapesOfCodePoint } from "../../../src/egress/secrets/escapes.ts";
import { Needle } from "../../../src/egress/secrets/needle.ts";
import { NeedleSearch } from "../../../src/egress/secrets/needle-search.ts";
import { rewriteAll, Rewriter } from "../../../src/egress/secrets/rewriter.ts";
import { TextForm } from "../../../src/egress/secrets/text-form.ts";
import { openSandbox, request, response, send } from "./sandbox-secrets.ts";

/** Characters that begin escapes, that stand in them, and others. */
const LETTERS = ["\\", "\\", "\\\\", "%", "%25", "&", "&amp;", "+", " ", "2", "5", "c", "u005c", "x5c", "n", "é"];
const needle = fc.array(fc.constantFrom(...LETTERS), { minLength: 1, maxLength: 8 }).map((parts) => parts.join(""));

/** Writes a needle in some ways, wrongly at times. */
function textFrom(word: string): fc.Arbitrary<string> {
  const one = (character: string): fc.Arbitrary<string> => {
    const codePoint = character.codePointAt(0) ?? 0;
    const escapes = [...escapesOfCodePoint(codePoint), ...(codePoint < 0x80 ? escapesOfByte(codePoint) : [])];
    return fc.constantFrom(character, character, ...escapes.map(({ bytes }) => bytes.toString()));
  };
  const written = fc.tuple(...Array.from(word, one)).map((parts) => parts.join(""));
  const noise = fc.array(fc.constantFrom(...LETTERS, "\\\\\\", "%2525", "\\u005c"), { maxLength: 4 });
  return fc
    .tuple(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: written },
          noise.map((parts) => parts.join("")),
        ),
      ),
      fc.nat(9),
    )
    .map(([parts, cut]) => parts.join("").slice(0, cut > 4 ? undefined : -cut || undefined));
}

/** The longest match at the beginning, by trying all ways. */
function longest(word: string, text: Buffer): { end: number; partial: boolean } {
  const characters = Array.from(word);
  const known = new Map<string, { end: number; partial: boolean }>();
  const from = (index: number, at: number): { end: number; partial: boolean } => {
    if (index === characters.length) return { end: at, partial: false };
    const key = `${index} ${at}`;
    const old = known.get(key);
    if (old !== undefined) return old;
    const character = characters[index] ?? "";
    const codePoint = character.codePointAt(0) ?? 0;
    const plain = Buffer.from(character);
    const ways = [plain, ...escapesOfCodePoint(codePoint).map(({ bytes }) => bytes)];
    if (plain.length === 1) ways.push(...escapesOfByte(codePoint).map(({ bytes }) => bytes));
    const result = { end: -1, partial: false };
    for (const way of ways) {
      const there = text
        .subarray(at, at + way.length)
        .toString("latin1")
        .toLowerCase();
      const wanted = way.toString("latin1").toLowerCase();
      if (way === plain ? text.subarray(at, at + way.length).equals(plain) : there === wanted) {
        const after = from(index + 1, at + way.length);
        result.end = Math.max(result.end, after.end);
        result.partial ||= after.partial;
      } else if (at + there.length === text.length && wanted.startsWith(there)) result.partial = true;
    }
    known.set(key, result);
    return result;
  };
  return from(0, 0);
}

const cases = needle.filter((word) => !word.includes("é")).chain((word) => fc.tuple(fc.constant(word), textFrom(word)));

test("a text is read in every way it can be", () => {
  fc.assert(
    fc.property(cases, ([word, text]) => {
      const data = Buffer.from(text);
      const { end, partial } = new TextForm(word, false).try(data, 0);
      const expected = longest(word, data);
      assert.equal(end, expected.end);
      // What waits needlessly is found out with more of the text; what must wait does.
      assert.ok(partial || !expected.partial);
    }),
    { numRuns: 5000 },
  );
});

test("however a text full of escapes is cut, the same is found in it", () => {
  fc.assert(
    fc.property(
      needle.chain((word) => fc.tuple(fc.constant(`key${word}end`), textFrom(`key${word}end`))),
      fc.integer({ min: 1, max: 7 }),
      ([word, text], size) => {
        const search = new NeedleSearch([new Needle(word, null, { anyCase: false, coded: true })]);
        const decide = (): Buffer => Buffer.from("*");
        const rewriter = new Rewriter(() => search, decide);
        const data = Buffer.from(text);
        const pieces: Buffer[] = [];
        for (let at = 0; at < data.length; at += size) pieces.push(...rewriter.push(data.subarray(at, at + size)));
        pieces.push(...rewriter.end());
        assert.equal(Buffer.concat(pieces).toString(), rewriteAll(data, search, decide).toString());
      },
    ),
    { numRuns: 2000 },
  );
});

test("no run of escape characters is read in more steps than belong to what is looked for", () => {
  for (const word of ["pa\\ss", "\\".repeat(12), "a\\\\\\\\b", "x%y%z%%", "%25%25%25", "&amp;&&", "k\\".repeat(20)]) {
    for (const piece of ["\\", "%", "%25", "&", "&amp;", "\\\\%5c", "\\u005c", word.slice(0, -1), "pa\\\\\\\\"]) {
      const form = new TextForm(word, false);
      form.try(Buffer.from(piece.repeat(2000)), 0);
      assert.ok(form.read < 100 * word.length, `${word} in ${piece.slice(0, 20)}…: ${form.read} bytes`);
    }
  }
});

test("a text that is nearly the value at every place is not searched to its end, nor shown", () => {
  const word = `${"a".repeat(16_000)}b`;
  const { secrets, placeholder } = openSandbox({ value: word });
  const text = "a".repeat(128 * 1024);
  assert.throws(() => secrets.openResponse(request(), response([["x", text]])), /nearly a secret/);
  assert.throws(() => secrets.openRequest(request({ fields: [["x", text]] })), /nearly a secret/);
  assert.doesNotMatch(secrets.scrubText(text), /a{9}/);
  assert.equal(secrets.scrubText(`x ${word} ${word}`), `x ${placeholder} ${placeholder}`);
});

test("a text with a long value many times in it is searched to its end", async () => {
  const word = `{"type":"service_account","key":"${"AbC+/1\\n".repeat(1500)}"}`;
  const { secrets, placeholder } = openSandbox({ value: word });
  for (const write of [(text: string) => text, encodeURIComponent]) {
    const almost = write(word).slice(0, 60);
    const text = `${write(word)} `.repeat(20) + `${almost} `.repeat(800);
    const scrubbed = await send(secrets.openResponse(request(), response()).body(), [text]);
    assert.equal(scrubbed.toString(), `${placeholder} `.repeat(20) + `${almost} `.repeat(800));
  }
});
