/**
 * Uses HTTP in the ways that a careless proxy breaks. Run by http-semantics.test.ts in a sandbox; prints what happened as
 * one line of JSON.
 *
 *   node http-semantics.mjs WHAT URL
 */
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";

const [what, address] = process.argv.slice(2);
const url = new URL(address);
const key = process.env.API_KEY;
const ROUNDS = 4;
/** The last bytes of each might be the first ones of something that is looked for. */
const MESSAGES = ["round 0", "D", "sk", "last"];

const say = (value) => console.log(JSON.stringify(value));

/** A request whose body is still open: a stream to read and write, and what it is answered with. */
function openHttp1(headers = {}) {
  const request = https.request(url, { method: "POST", headers: { authorization: `Bearer ${key}`, ...headers } });
  request.flushHeaders();
  const response = new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
  return { request, response, close: () => request.destroy() };
}

function openHttp2(headers = {}) {
  const session = http2.connect(url);
  const stream = session.request({
    ":method": "POST",
    ":path": url.pathname,
    authorization: `Bearer ${key}`,
    ...headers,
  });
  const response = new Promise((resolve, reject) => {
    stream.once("response", (fields) => resolve(Object.assign(stream, { statusCode: fields[":status"], fields })));
    stream.once("error", reject);
  });
  return { request: stream, response, close: () => session.close() };
}

/** Sends a line, and the next one only when the first has come back: neither side may wait for the other's end. */
async function pingPong({ request, response, close }) {
  const heard = [];
  let text = "";
  request.write("round 0\n");
  for await (const chunk of await response) {
    text += chunk;
    if (!text.endsWith("\n")) continue;
    heard.push(text);
    text = "";
    if (heard.length < ROUNDS) request.write(`round ${heard.length}\n`);
    else request.end();
  }
  say({ heard });
  close();
}

/** The same in gRPC's messages: a flag, a length and content, which says itself where it ends. */
async function grpc() {
  const { request, response, close } = openHttp2({ "content-type": "application/grpc", te: "trailers" });
  let trailers;
  request.once("trailers", (fields) => (trailers = { ...fields }));
  const send = (text) => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(text.length, 1);
    request.write(Buffer.concat([head, Buffer.from(text)]));
  };
  const heard = [];
  let pending = Buffer.alloc(0);
  send(MESSAGES[0]);
  const answer = await response;
  for await (const chunk of answer) {
    pending = Buffer.concat([pending, chunk]);
    if (pending.length < 5 || pending.length < 5 + pending.readUInt32BE(1)) continue;
    heard.push(pending.toString("latin1", 5));
    pending = Buffer.alloc(0);
    if (heard.length < MESSAGES.length) send(MESSAGES[heard.length]);
    else request.end();
  }
  say({ heard, type: answer.fields["content-type"], trailers });
  close();
}

async function trailersOnly() {
  const { request, response, close } = openHttp2({ "content-type": "application/grpc", te: "trailers" });
  request.end();
  const { fields } = await response;
  request.resume().once("close", () => {
    say({ status: fields[":status"], grpc: fields["grpc-status"], message: fields["grpc-message"] });
    close();
  });
}

function webSocket() {
  const socket = new WebSocket(url.href.replace("https:", "wss:"), ["chat.v2"]);
  socket.binaryType = "arraybuffer";
  const heard = [];
  socket.onopen = () => socket.send(`my key is ${key}`);
  socket.onmessage = ({ data }) => {
    heard.push(typeof data === "string" ? data : [...new Uint8Array(data)]);
    if (heard.length === 1) socket.send(Uint8Array.of(0, 255, 128));
    if (heard.length === 2) socket.send("x".repeat(200_000));
    if (heard.length === 3) socket.send("close");
  };
  socket.onclose = ({ code, reason, wasClean }) => {
    const lengths = heard.map((item) => (item.length > 1000 ? item.length : item));
    say({ heard: lengths, protocol: socket.protocol, code, reason, wasClean });
  };
  socket.onerror = ({ message }) => say({ error: message });
}

/** Each event is confirmed by a request of its own, for which the next one waits. */
async function events() {
  const response = await fetch(url);
  const heard = [];
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    for (const [, data] of chunk.matchAll(/data: (.*)\n\n/g)) {
      heard.push(data);
      await fetch(new URL(`/confirm/${heard.length}`, url), { method: "POST" });
    }
  }
  say({ type: response.headers.get("content-type"), heard });
}

/** Sends nothing of the body before it is asked to. */
async function expectContinue() {
  const body = "x".repeat(100_000);
  const { request, response, close } = openHttp1({ expect: "100-continue", "content-length": body.length });
  let continued = false;
  request.once("continue", () => {
    continued = true;
    request.end(body);
  });
  const answer = await response;
  const text = (await answer.toArray()).join("");
  say({ continued, status: answer.statusCode, text });
  close();
}

/** An upload that does not end before the answer is there. */
async function earlyResponse(open) {
  const { request, response, close } = open;
  request.on("error", () => undefined);
  request.write("a beginning");
  const answer = await response;
  const text = (await answer.toArray()).join("");
  say({ status: answer.statusCode, text });
  close();
}

/** Reads a byte in a while: the rest has to wait somewhere. */
async function slowReader() {
  const { request, response, close } = openHttp1();
  request.end();
  const answer = await response;
  answer.on("error", () => undefined);
  let read = 0;
  for (let round = 0; round < 4; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    read += answer.read(1024)?.length ?? 0;
  }
  say({ read, rss: /VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] });
  close();
}

const ACTIONS = {
  "ping-pong-1": () => pingPong(openHttp1()),
  "ping-pong-2": () => pingPong(openHttp2()),
  grpc,
  "trailers-only": trailersOnly,
  websocket: webSocket,
  events,
  continue: expectContinue,
  "early-1": () => earlyResponse(openHttp1()),
  "early-2": () => earlyResponse(openHttp2()),
  slow: slowReader,
};
await ACTIONS[what]();
