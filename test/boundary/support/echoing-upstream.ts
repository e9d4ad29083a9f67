/**
 * An approved upstream that gives a secret back in every way a server might: it takes the value from the request's
 * `authorization` and puts it where the path says. What else is in a request from somebody it knows, it spells out, as a
 * language model would that was told to.
 */
import type { ServerResponse } from "node:http";
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { WebSocketServer } from "ws";
import type { EchoOptions, Response, SeenRequest } from "./echo-server.ts";

const ENCODE: Readonly<Record<string, (text: string) => Buffer>> = {
  gzip: (text) => gzipSync(text),
  deflate: (text) => deflateSync(text),
  br: (text) => brotliCompressSync(text),
  zstd: (text) => zstdCompressSync(text),
  compress: (text) => Buffer.from(text),
  "x-unknown": (text) => Buffer.from(text),
  "gzip, br": (text) => brotliCompressSync(gzipSync(text)),
};

const WRITE: Readonly<Record<string, (value: string) => string>> = {
  body: (value) => `you said ${value}, twice: ${value}`,
  percent: (value) => `url=https://x.example/?k=${encodeURIComponent(value)}&all=${percentAll(value)}`,
  base64: (value) => ["", "a", "ab"].map((before) => Buffer.from(`${before}${value}`).toString("base64")).join("\n"),
  json: (value) => JSON.stringify({ key: value, nested: JSON.stringify({ key: value }) }),
  hex: (value) => `${Buffer.from(value).toString("hex")} ${Buffer.from(value).toString("hex").toUpperCase()}`,
  html: (value) => `<p>${value.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("'", "&#39;")}</p>`,
  twice: (value) => value + value,
};

export function echoingUpstream(): Pick<EchoOptions, "answer" | "upgrade"> {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  return {
    answer: (seen, response) => answer(seen, response),
    upgrade: (request, socket, head) => {
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on("message", (data: Buffer) =>
          webSocket.send(`you said ${data.toString()} at ${request.url ?? ""}: ${spell(data.toString())}`),
        );
      });
    },
  };
}

function answer(seen: SeenRequest, response: Response): boolean {
  const value = /^Bearer (.*)$/.exec(String(seen.headers.authorization))?.[1] ?? "";
  const [, kind = "", detail = ""] = new URL(seen.url, "https://x.example").pathname.split("/");
  switch (kind) {
    case "echo":
      echo(detail, value, response);
      return true;
    case "coded": {
      const coding = decodeURIComponent(detail);
      response.setHeader("content-type", "text/plain");
      response.setHeader("content-encoding", coding);
      end(response, ENCODE[coding]?.(WRITE.body?.(value) ?? "") ?? Buffer.alloc(0));
      return true;
    }
    case "pieces":
    case "events":
      piecemeal(kind, value, response);
      return true;
    case "error":
      response.statusCode = 500;
      response.end(`Error: the key ${value} is not valid\n    at check (/srv/app.js:1:1)`);
      return true;
    case "range":
      response.statusCode = 206;
      response.setHeader("content-range", `bytes 9-${9 + value.length}/1000`);
      response.end(value.slice(3));
      return true;
    case "spell":
      if (value === "") response.statusCode = 401;
      response.end(value === "" ? "who are you?" : spellAll(detail, seen));
      return true;
    case "redirect":
      response.statusCode = 302;
      response.setHeader("location", `https://other.example.com/callback?key=${encodeURIComponent(value)}`);
      response.end(`moved to https://other.example.com/callback?key=${encodeURIComponent(value)}`);
      return true;
    default:
      // Only what was asked, not what was sent.
      response.end("seen");
      return true;
  }
}

function echo(detail: string, value: string, response: Response): void {
  response.setHeader("content-type", detail === "json" ? "application/json" : "text/plain");
  if (detail === "header") response.setHeader("x-echo", `Bearer ${value}`);
  if (detail === "cookie") response.setHeader("set-cookie", [`k=${encodeURIComponent(value)}; Path=/`, "b=c"]);
  if (detail === "status" && "statusMessage" in response) response.statusMessage = `OK ${value}`;
  if (detail === "trailer") {
    response.setHeader("trailer", "x-echo");
    write(response, "body");
    response.addTrailers({ "x-echo": value });
  }
  response.end(WRITE[detail]?.(value) ?? "done");
}

/** In pieces of every size, each at a time of its own. */
function piecemeal(kind: "pieces" | "events", value: string, response: Response): void {
  const text =
    kind === "events" ? `data: {"delta": ${JSON.stringify(value)}}\n\n`.repeat(3) : `${value} and ${value}`.repeat(2);
  response.setHeader("content-type", kind === "events" ? "text/event-stream" : "application/octet-stream");
  let at = 0;
  const next = (): void => {
    if (at >= text.length) {
      response.end();
      return;
    }
    const size = 1 + (at % 7);
    write(response, text.slice(at, at + size));
    at += size;
    setImmediate(next);
  };
  next();
}

/** Which spelling of a text has none of it in one piece. */
export function spell(text: string): string {
  return Array.from(text).join(" ");
}

/** As token deltas of an event stream. */
function spellInEvents(text: string): string {
  return text.replace(/[^]{1,5}/g, (content) => `data: ${JSON.stringify({ delta: { content } })}\n\n`);
}

function spellAll(how: string, { url, headers, body }: SeenRequest): string {
  const said = headers["content-encoding"] === "gzip" ? gunzipSync(Buffer.from(body, "latin1")).toString() : body;
  const texts = [said, url].flatMap((text) => [text, decoded(text)]);
  return texts.map(how === "events" ? spellInEvents : spell).join("\n");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The two kinds of responses have the same methods, whose overloads TypeScript cannot put together. */
function write(response: Response, text: string): void {
  (response as ServerResponse).write(text);
}

function end(response: Response, body: Buffer): void {
  (response as ServerResponse).end(body);
}

function percentAll(value: string): string {
  return [...Buffer.from(value)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}
