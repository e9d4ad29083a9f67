/**
 * TLS to a host without secrets is between the guest and that host: pinned keys and client certificates work. With a
 * secret for the host that is over, and programs that insist on it fail where their user can see it.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import type { EchoServer } from "./support/echo-server.ts";
import { Listening } from "./support/listening.ts";
import { World } from "./support/world.ts";

const TUNNELLED = { name: "tunnel.example.com", address: "93.184.216.34" };
const READ = { name: "api.example.com", address: "93.184.216.35" };
/** Where the servers ask for the guest's certificate. */
const MUTUAL_PORT = 8443;
/** curl(1): EXIT CODES. */
const CURL_PIN_MISMATCH = 90;

let world: World;
let read: EchoServer;
let box: string;
/** Of each server's key, as curl's --pinnedpubkey takes it. */
const pins = new Map<string, string>();
let clientCertificate: X509Certificate;
const clientsSeen: string[] = [];

before(async () => {
  world = await World.open();
  await serve(TUNNELLED);
  read = await serve(READ);
  box = await world.home.create(
    ...["--allow-net", `${TUNNELLED.name}:443,${MUTUAL_PORT}`, "--allow-net", `${READ.name}:443,${MUTUAL_PORT}`],
    ...["--secret", `API_KEY@${READ.name}`, "--secret", `API_KEY@${READ.name}:${MUTUAL_PORT}`],
    ...["--ca-file", world.caFile],
  );
  // Its key never leaves the guest.
  const make =
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=guest -keyout /tmp/key -out /tmp/cert";
  const pem = await world.home.bash(box, `${make} 2>/dev/null; cat /tmp/cert`);
  clientCertificate = new X509Certificate(pem);
  for (const { name, address } of [TUNNELLED, READ]) {
    const server = createServer(
      { ...world.authority.identity(name), requestCert: true, rejectUnauthorized: true, ca: pem },
      (_request, response) => {
        response.end("welcome");
      },
    );
    server.on("secureConnection", (socket) => clientsSeen.push(socket.getPeerCertificate().fingerprint256));
    world.use(await Listening.start(server, address, MUTUAL_PORT));
  }
});
after(async () => world[Symbol.asyncDispose]());

async function serve({ name, address }: typeof READ): Promise<EchoServer> {
  const identity = world.authority.identity(name);
  const key = new X509Certificate(identity.cert).publicKey.export({ type: "spki", format: "der" });
  pins.set(name, `sha256//${createHash("sha256").update(key).digest("base64")}`);
  return world.https(name, address, { identity });
}

test("a client that pins the server's key works where no secret is for the host", async () => {
  const line = `curl -sS --pinnedpubkey '${pins.get(TUNNELLED.name)}' https://${TUNNELLED.name}/echo`;
  assert.match(await world.home.bash(box, line), /"serverName":"tunnel\.example\.com"/);
});

test("the same client fails, and says why, where a secret is for the host", async () => {
  const before = read.seen.length;
  const words = ["curl", "-sS", "--pinnedpubkey", pins.get(READ.name) ?? "", `https://${READ.name}/echo`];
  const { status, stderr } = await world.home.sbx(["exec", box, "--", ...words]);
  assert.equal(status, CURL_PIN_MISMATCH, stderr);
  assert.match(stderr, /SSL: public key does not match pinned public key/);
  assert.equal(read.seen.length, before, "no request went out");
});

test("a server that wants a client's certificate gets the guest's own where no secret is for the host", async () => {
  const line = `curl -sS --cert /tmp/cert --key /tmp/key https://${TUNNELLED.name}:${MUTUAL_PORT}/`;
  assert.equal(await world.home.bash(box, line), "welcome");
  assert.deepEqual(clientsSeen, [clientCertificate.fingerprint256]);
});

test("where a secret is for the host it gets no certificate, and the guest an error that says so", async () => {
  const before = clientsSeen.length;
  const line = `curl -sS -w '\\n%{http_code}' --cert /tmp/cert --key /tmp/key https://${READ.name}:${MUTUAL_PORT}/`;
  const answer = await world.home.bash(box, line);
  assert.match(answer, /\n502$/);
  assert.match(answer, /certificate/i);
  assert.equal(clientsSeen.length, before);
});

test("who signed the certificate in the guest is the server's authority in a tunnel, and the sandbox's otherwise", async () => {
  const issuer = async (host: string): Promise<string> =>
    world.home.bash(
      box,
      `openssl s_client -connect ${host}:443 -servername ${host} </dev/null 2>/dev/null | openssl x509 -noout -issuer`,
    );
  assert.match(await issuer(TUNNELLED.name), /Test Root of the Closed Network/);
  assert.doesNotMatch(await issuer(READ.name), /Test Root of the Closed Network/);
});
