/** Contexts of TLS that the gateway's own authority keeps, whoever asks for names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openOwnAuthority } from "../../../src/server/gateway/own-authority.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("no number of names that strangers make up takes the place of one that there is, or of the domain's", async (t) => {
  const options = { now: () => Date.now(), isEstablished: (label: string) => label === "real" };
  const { tls } = await openOwnAuthority(temporaryDirectory(t), "localhost", options);
  const [real, own] = [tls.contextFor("real.localhost"), tls.contextFor(undefined)];
  const first = tls.contextFor("made-up-0.localhost");
  assert.equal(tls.contextFor("made-up-0.localhost"), first);
  for (let at = 1; at < 1100; at++) tls.contextFor(`made-up-${at}.localhost`);
  assert.equal(tls.contextFor("real.localhost"), real);
  assert.equal(tls.contextFor("x.real.localhost"), own);
  assert.notEqual(tls.contextFor("made-up-0.localhost"), first);
});
