/**
 * The server of static sites: a program for `node --eval` in the guest, so it is text here. It serves what is below a
 * directory to GET and HEAD, with byte ranges, and never what a link leads out of it. Arguments: the directory, the port,
 * and `spa` if everything that is not there is `index.html`.
 */
export const STATIC_SERVER = String.raw`
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const [directory, port, mode] = process.argv.slice(-3);
const root = fs.realpathSync(directory);
const types = {
  html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8",
  mjs: "text/javascript; charset=utf-8", json: "application/json", svg: "image/svg+xml", png: "image/png",
  jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", ico: "image/x-icon",
  txt: "text/plain; charset=utf-8", xml: "application/xml", wasm: "application/wasm", woff2: "font/woff2",
  pdf: "application/pdf", webmanifest: "application/manifest+json", mp4: "video/mp4",
};

function find(pathname) {
  const wanted = path.join(root, pathname);
  for (const name of [wanted, path.join(wanted, "index.html"), wanted + ".html"]) {
    try {
      const real = fs.realpathSync(name);
      if (real !== root && !real.startsWith(root + path.sep)) continue;
      const stats = fs.statSync(real);
      if (stats.isFile()) return { real, stats };
    } catch {}
  }
}

function answer(request, response) {
  let pathname;
  try {
    pathname = decodeURIComponent(new URL(request.url, "http://x").pathname);
  } catch {
    return end(response, 400, "bad request");
  }
  if (request.method !== "GET" && request.method !== "HEAD") return end(response, 405, "method not allowed", { allow: "GET, HEAD" });
  if (pathname.includes("\0")) return end(response, 400, "bad request");
  const found = find(pathname) ?? (mode === "spa" ? find("/index.html") : undefined);
  if (found === undefined) return end(response, 404, "not found");
  send(request, response, found);
}

function send(request, response, { real, stats }) {
  const tag = '"' + stats.size.toString(16) + "-" + Math.floor(stats.mtimeMs).toString(16) + '"';
  const extension = path.extname(real).slice(1).toLowerCase();
  const fields = { "content-type": types[extension] ?? "application/octet-stream", etag: tag, "accept-ranges": "bytes" };
  if (request.headers["if-none-match"] === tag) return response.writeHead(304, fields).end();
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  let start = 0;
  let last = stats.size - 1;
  if (range !== null) {
    start = Number(range[1]);
    if (range[2] !== "") last = Math.min(last, Number(range[2]));
    if (start > last) return end(response, 416, "range not satisfiable", { "content-range": "bytes */" + stats.size });
    fields["content-range"] = "bytes " + start + "-" + last + "/" + stats.size;
  }
  response.writeHead(range === null ? 200 : 206, { ...fields, "content-length": last - start + 1 });
  if (request.method === "HEAD" || last < start) return response.end();
  const file = fs.createReadStream(real, { start, end: last });
  file.on("error", () => response.destroy());
  response.on("close", () => file.destroy());
  file.pipe(response);
}

function end(response, status, text, fields = {}) {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...fields }).end(text + "\n");
}

http.createServer(answer).listen(Number(port), "127.0.0.1");
`;
