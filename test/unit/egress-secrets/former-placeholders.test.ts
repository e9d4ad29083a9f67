/** A guest that is a copy has programs with the source's placeholders: they are worth nothing, and are told so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leakRefusal } from "../../../src/egress/http/refusal.ts";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import { newPlaceholder } from "../../../src/egress/secrets/placeholder.ts";
import { API, fieldOf, PLAIN_VALUE, placeholderOf, request } from "./sandbox-secrets.ts";

function openCopy(onLeak: "block" | "report" | "pass") {
  const placeholder = newPlaceholder();
  const former = [{ secret: "KEY", placeholder }];
  const secrets = createSecrets({ grants: [{ name: "KEY", hosts: [API] }], former, onLeak, report: () => undefined });
  secrets.setValue("KEY", PLAIN_VALUE);
  return { secrets, placeholder };
}

test("a former placeholder is not replaced, and a request with it is refused in words that help", () => {
  const { secrets, placeholder } = openCopy("block");
  const sent = secrets.openRequest(request({ fields: [["authorization", `Bearer ${placeholder}`]] }));
  assert.equal(sent.blocked, true);
  assert.equal(fieldOf(sent.head, "authorization"), `Bearer ${placeholder}`);
  const [leak] = sent.leaks;
  assert.ok(leak !== undefined);
  assert.deepEqual(leak, { secret: "KEY", where: "header authorization", what: "former placeholder" });
  assert.match(leakRefusal(leak).message, /from before this sandbox was copied: a program that is started anew gets/);
});

test("it is found on the way to any host, and never blocks where leaks only are reported", () => {
  const { secrets, placeholder } = openCopy("report");
  const sent = secrets.openRequest(request({ host: "other.example.net", target: `/?k=${placeholder}` }));
  assert.equal(sent.blocked, false);
  assert.deepEqual(
    sent.leaks.map(({ what }) => what),
    ["former placeholder"],
  );
});

test("the copy's own placeholder is another one, and works", () => {
  const { secrets, placeholder } = openCopy("block");
  const own = placeholderOf(secrets, "KEY");
  assert.notEqual(own, placeholder);
  assert.equal(secrets.grants.length, 1);
  const sent = secrets.openRequest(request({ fields: [["authorization", `Bearer ${own}`]] }));
  assert.equal(fieldOf(sent.head, "authorization"), `Bearer ${PLAIN_VALUE}`);
  assert.deepEqual(sent.leaks, []);
});
