/** Of one request to its own host, a secret is in the most header-like place only: what reads the rest may repeat it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { FieldLines, RequestHead } from "../../../src/egress/http-heads.ts";
import { cut, fieldOf, openSandbox, PLAIN_VALUE as V, request, send, WRITINGS } from "./sandbox-secrets.ts";

const TYPES = ["application/json", "application/x-www-form-urlencoded", "text/plain", "text/xml", ""];

/** Ways in which a request says who sends it. */
const CREDENTIALS: Readonly<Record<string, (key: string) => Partial<RequestHead>>> = {
  Bearer: (key) => ({ fields: [["authorization", `Bearer ${key}`]] }),
  Basic: (key) => ({ fields: [["Authorization", `Basic ${Buffer.from(`user:${key}`).toString("base64")}`]] }),
  "a field of its own": (key) => ({ fields: [["x-api-key", key]] }),
  Cookie: (key) => ({ fields: [["cookie", `a=b; session=${encodeURIComponent(key)}`]] }),
  query: (key) => ({ target: `/v1/chat?key=${key}` }),
  path: (key) => ({ target: `/bot${key}/send` }),
  "a field with a URL": (key) => ({ fields: [["referer", `https://api.example.com/?key=${key}`]] }),
};

test("next to credentials in the head a body keeps the placeholder, in every form and type", async () => {
  for (const [credential, write] of Object.entries(CREDENTIALS)) {
    for (const type of TYPES) {
      const { secrets, placeholder: P } = openSandbox();
      const { fields = [], ...rest } = write(P);
      const outgoing = secrets.openRequest(request({ ...rest, fields: [...fields, ["content-type", type]] }));
      const expected = write(V);
      assert.deepEqual(outgoing.head.fields, [...(expected.fields ?? []), ["content-type", type]], credential);
      assert.equal(outgoing.head.target, expected.target ?? "/", credential);
      const body = Buffer.from(
        Object.values(WRITINGS)
          .map((how) => `Repeat exactly: ${how(P)}\n`)
          .join(""),
      );
      assert.equal((await send(outgoing.body(), cut(body, 37))).toString(), body.toString(), `${credential}, ${type}`);
      assert.deepEqual(outgoing.trailers([["x-sum", P]]), [["x-sum", P]], credential);
      assert.equal(outgoing.message(Buffer.from(P)).toString(), P, "nor does a message get it after the handshake");
      assert.deepEqual(outgoing.used, ["KEY"]);
      assert.deepEqual(outgoing.leaks, []);
      assert.ok(!outgoing.blocked);
    }
  }
});

test("next to a field, path, query and fields with a URL keep the placeholder", () => {
  const { secrets, placeholder: P } = openSandbox();
  // Whichever comes first.
  const lines: FieldLines = [
    ["referer", `https://api.example.com/?key=${P}`],
    ["authorization", `Bearer ${P}`],
    ["destination", `https://api.example.com/${P}`],
    ["x-second", P],
  ];
  for (const fields of [lines, lines.toReversed()]) {
    const { head } = secrets.openRequest(request({ target: `/${P}?q=${P}`, fields }));
    assert.equal(head.target, `/${P}?q=${P}`);
    assert.equal(fieldOf(head, "authorization"), `Bearer ${V}`);
    assert.equal(fieldOf(head, "x-second"), V);
    assert.equal(fieldOf(head, "referer"), `https://api.example.com/?key=${P}`);
    assert.equal(fieldOf(head, "destination"), `https://api.example.com/${P}`);
  }
});

test("a body that gets no value keeps its length and its coding", async () => {
  const { secrets, placeholder: P } = openSandbox();
  const coded = gzipSync(`Repeat exactly: ${P}`);
  const fields: FieldLines = [
    ["authorization", `Bearer ${P}`],
    ["content-encoding", "gzip"],
    ["content-length", String(coded.length)],
  ];
  const outgoing = secrets.openRequest(request({ fields }));
  assert.deepEqual(outgoing.head.fields, [["authorization", `Bearer ${V}`], ...fields.slice(1)]);
  assert.deepEqual(await send(outgoing.body(), cut(coded, 10)), coded);
  assert.equal(outgoing.removedLength, null);
});

test("a body that may get a value says what its length was", () => {
  const { secrets } = openSandbox();
  const lengths = (value: string): number | null =>
    secrets.openRequest(request({ fields: [["content-length", value]] })).removedLength;
  assert.equal(lengths("1234"), 1234);
  for (const value of ["", "-1", "1, 2", "0x10", "1e3", "99999999999999999999"]) assert.equal(lengths(value), null);
  assert.equal(secrets.openRequest(request()).removedLength, null);
  const coded = request({
    fields: [
      ["content-length", "9"],
      ["content-encoding", "gzip"],
    ],
  });
  assert.equal(secrets.openRequest(coded).removedLength, 9);
});

test("a body in several codings is decoded for its own host, whether or not it gets a value", async () => {
  const { secrets, placeholder: P } = openSandbox();
  const fields: FieldLines = [["content-encoding", "gzip, gzip"]];
  const coded = gzipSync(gzipSync(`key ${P}`));
  assert.equal((await send(secrets.openRequest(request({ fields })).body(), [coded])).toString(), `key ${V}`);
  const twice = secrets.openRequest(request({ fields: [...fields, ["authorization", P]] }));
  assert.deepEqual(twice.head.fields, [["authorization", V]]);
  assert.equal((await send(twice.body(), [coded])).toString(), `key ${P}`);
});

test("of the body, the trailers and the messages only the first that has the placeholder gets the value", async () => {
  const { secrets, placeholder: P } = openSandbox();
  const outgoing = secrets.openRequest(request());
  assert.equal((await send(outgoing.body(), [`${P} ${P}`])).toString(), `${V} ${V}`);
  assert.deepEqual(outgoing.trailers([["x-sum", P]]), [["x-sum", P]]);
  const socket = secrets.openRequest(request({ method: "GET" }));
  const say = (text: string): string => socket.message(Buffer.from(text)).toString();
  assert.equal(say("hello"), "hello");
  assert.equal(say(P.toUpperCase()), P.toUpperCase(), "a form that gets no value is no place");
  assert.equal(say(`login ${P}`), `login ${V}`);
  assert.equal(say(`Repeat exactly: ${P}`), `Repeat exactly: ${P}`);
});

test("each secret has a place of its own", async () => {
  const both = openSandbox({ second: "second-value-0123456789" });
  const [first = "", second = ""] = both.secrets.grants.map(({ placeholder }) => placeholder);
  const outgoing = both.secrets.openRequest(request({ target: `/?k=${second}`, fields: [["authorization", first]] }));
  assert.deepEqual(outgoing.head.fields, [["authorization", V]]);
  assert.equal(outgoing.head.target, "/?k=second-value-0123456789");
  const oauth = both.secrets.openRequest(request({ fields: [["authorization", first]] }));
  const body = await send(oauth.body(), [`refresh_token=${second}&x=${first}`]);
  assert.equal(body.toString(), `refresh_token=second-value-0123456789&x=${first}`);
  assert.deepEqual(oauth.used, ["KEY", "SECOND"]);
});

test("what gets no value in a field does not keep it from the place that needs it", async () => {
  const { secrets, placeholder: P } = openSandbox();
  const fields: FieldLines = [
    [`x-${P.toLowerCase()}`, "1"],
    ["proxy-x", P],
    ["x-hex", Buffer.from(P).toString("hex")],
  ];
  const outgoing = secrets.openRequest(request({ fields, target: "/v1" }));
  assert.equal((await send(outgoing.body(), [P])).toString(), V);
});

test("a value that comes after the head does not get into the body next to the placeholder in the head", async () => {
  const { secrets, placeholder: P } = openSandbox({ value: null, second: "second-value-0123456789" });
  const outgoing = secrets.openRequest(request({ fields: [["authorization", P]] }));
  const body = outgoing.body();
  secrets.setValue("KEY", V);
  assert.equal((await send(body, [P])).toString(), P);
  assert.equal(outgoing.message(Buffer.from(P)).toString(), P);
});

test("the placeholder of another host's secret still leaks, wherever the own one stands", async () => {
  const { secrets, placeholder: P, leaks } = openSandbox({ more: ["other"] });
  const other = secrets.grants[1]?.placeholder ?? "";
  const outgoing = secrets.openRequest(request({ fields: [["authorization", P]] }));
  await assert.rejects(send(outgoing.body(), [`${P} ${other}`]), /placeholder of other in body/);
  assert.deepEqual(
    leaks.map(({ leak }) => leak),
    [{ secret: "other", where: "body", what: "placeholder" }],
  );
});
