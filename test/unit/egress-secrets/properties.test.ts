import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Needle } from "../../../src/egress/secrets/needle.ts";
import { NeedleSearch } from "../../../src/egress/secrets/needle-search.ts";
import { type Decide, rewriteAll, Rewriter } from "../../../src/egress/secrets/rewriter.ts";
import { openSandbox, request, response, send, WRITINGS } from "./sandbox-secrets.ts";

const VALUE_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=!@#$%^&*()\"'\\<>é€😀 ";
const value = fc
  .array(fc.constantFrom(...Array.from(VALUE_CHARACTERS)), { minLength: 8, maxLength: 60 })
  .map((characters) => characters.join(""))
  // A value of one letter again and again begins anew in the text around it.
  .filter((text) => new Set(text).size >= 5);
const how = fc.constantFrom(...Object.keys(WRITINGS));
/** Text around what is looked for: what could be the beginning of it, what is escaped, and bytes. */
const filler = fc.oneof(
  fc.string({ maxLength: 20 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom("DENO_SECRET_", "%44%45", "\\u0044", "&#68;", "RERO", "%", "\\", "&#", "%25", "44454e4f")
    .map((text) => Buffer.from(text)),
);

/** Fillers, and a word in some ways of writing. */
function textWith(word: string): fc.Arbitrary<Buffer> {
  const written = fc.oneof(
    how.map((key) => Buffer.from(WRITINGS[key]?.(word) ?? "")),
    fc.nat(word.length).map((length) => Buffer.from(word.slice(0, length))),
  );
  return fc.array(fc.oneof(filler, written), { maxLength: 8 }).map((parts) => Buffer.concat(parts));
}

function searchFor(word: string): NeedleSearch<string> {
  return new NeedleSearch([new Needle(word, word, { anyCase: false, coded: true })]);
}

function cutAt(data: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (data.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => data.subarray(from, places[index] ?? data.length));
}

const cuts = fc.array(fc.nat(), { maxLength: 30 });

test("however a text is cut, the same is found and written", () => {
  fc.assert(
    fc.property(
      value.chain((word) => fc.tuple(fc.constant(word), textWith(word))),
      value,
      cuts,
      ([word, text], other, at) => {
        const search = searchFor(word);
        const decide: Decide<string> = ({ form }) =>
          Buffer.from(form === "hex" ? Buffer.from(other).toString("hex") : other);
        const rewriter = new Rewriter(() => search, decide);
        const streamed = cutAt(text, at).flatMap((chunk) => rewriter.push(chunk));
        streamed.push(...rewriter.end());
        assert.equal(Buffer.concat(streamed).toString("latin1"), rewriteAll(text, search, decide).toString("latin1"));
      },
    ),
    { numRuns: 1500 },
  );
});

test("the search by samples finds what trying every place finds", () => {
  fc.assert(
    fc.property(
      value.chain((word) => fc.tuple(fc.constant(word), textWith(word))),
      ([word, text]) => {
        const needle = new Needle(word, word, { anyCase: false, coded: true });
        let expected = -1;
        for (let at = 0; at < text.length && expected < 0; at += 1) {
          if (needle.forms.some((form) => form.try(text, at).end >= 0)) expected = at;
        }
        const found = new NeedleSearch([needle]).find(text, 0, true);
        assert.equal(found?.start ?? -1, expected);
      },
    ),
    { numRuns: 1500 },
  );
});

test("what is held back is the beginning of a match and never longer than one", () => {
  fc.assert(
    fc.property(
      value.chain((word) => fc.tuple(fc.constant(word), textWith(word))),
      ([word, text]) => {
        const rewriter = new Rewriter(
          () => searchFor(word),
          () => null,
        );
        for (const byte of text) {
          rewriter.push(Buffer.from([byte]));
          assert.ok(rewriter.heldBytes <= 13 * Buffer.byteLength(word));
        }
        rewriter.push(Buffer.from("\n"));
        assert.equal(rewriter.heldBytes, 0, "no form has a line break");
      },
    ),
    { numRuns: 300 },
  );
});

test("scrubbing what a request was given brings back what the guest sent", async () => {
  const around = fc.stringMatching(/^[ -~]{0,30}$/);
  await fc.assert(
    fc.asyncProperty(
      value,
      fc.array(
        fc.tuple(around, fc.constantFrom("plain", "base64", "base64 one byte later", "base64 two bytes later")),
        {
          maxLength: 5,
        },
      ),
      fc.constantFrom("text/plain", "application/json", "application/x-www-form-urlencoded", "text/xml"),
      cuts,
      async (secret, parts, type, at) => {
        const { secrets, placeholder } = openSandbox({ value: secret });
        const sent = Buffer.from(
          parts.map(([text, key]) => `${text}\n${WRITINGS[key]?.(placeholder) ?? ""}\n`).join(""),
        );
        // Where the value's neighbours happen to continue it, another beginning of it is found.
        fc.pre(!parts.some(([text]) => secrets.scrubText(text) !== text));
        const outgoing = secrets.openRequest(request({ fields: [["content-type", type]] }));
        const arrived = await send(outgoing.body(), cutAt(sent, at));
        assert.equal(arrived.includes(placeholder), false);
        const scrubbed = await send(secrets.openResponse(request(), response()).body(), cutAt(arrived, at));
        assert.equal(scrubbed.toString(), sent.toString());
      },
    ),
    { numRuns: 300 },
  );
});

test("next to a header that has the value a body stays what it is, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      value,
      fc.array(fc.oneof(filler, how), { maxLength: 8 }),
      fc.constantFrom("text/plain", "application/json", "application/x-www-form-urlencoded", "text/xml"),
      cuts,
      async (secret, parts, type, at) => {
        const { secrets, placeholder } = openSandbox({ value: secret });
        const sent = Buffer.concat(
          parts.map((part) => (typeof part === "string" ? Buffer.from(WRITINGS[part]?.(placeholder) ?? "") : part)),
        );
        const fields = [
          ["content-type", type],
          ["authorization", `Bearer ${placeholder}`],
        ] as const;
        const outgoing = secrets.openRequest(request({ fields }));
        assert.deepEqual(outgoing.used, ["KEY"]);
        assert.equal((await send(outgoing.body(), cutAt(sent, at))).toString("latin1"), sent.toString("latin1"));
      },
    ),
    { numRuns: 300 },
  );
});

test("nothing that is scrubbed has the value in it in any way of writing", () => {
  fc.assert(
    fc.property(
      value.chain((word) => fc.tuple(fc.constant(word), textWith(word))),
      ([word, text]) => {
        const { secrets, placeholder } = openSandbox({ value: word });
        const scrubbed = apart(secrets.openResponse(request(), response()).message(text), placeholder);
        const search = searchFor(word);
        assert.ok(!search.occursIn(scrubbed), scrubbed.toString("latin1"));
        for (const [key, write] of Object.entries(WRITINGS)) {
          if (!key.startsWith("base64")) assert.ok(!scrubbed.includes(write(word)), key);
        }
      },
    ),
    { numRuns: 500 },
  );
});

/**
 * A text without the placeholders that were put in. Each begins with some letter, which can be the one that a value
 * before it lacks: a text that says all but the end of a value and then the value again is no text with two of them.
 */
function apart(scrubbed: Buffer, placeholder: string): Buffer {
  let text = scrubbed.toString("latin1");
  for (const write of Object.values(WRITINGS)) {
    const written = write(placeholder);
    for (const form of [written, written.toUpperCase()]) text = text.replaceAll(form, "\u0000");
  }
  return Buffer.from(text, "latin1");
}
