/**
 * Content codings (RFC 9110, 8.4.1): which ones can be read, and streams that read them. Their input is hostile: a
 * stream gives out what it makes of each chunk before it takes the next, and its window is bounded.
 */
import type { Transform } from "node:stream";
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from "node:zlib";

export type Coding = "gzip" | "deflate" | "br" | "zstd";

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "br",
  zstd: "zstd",
};
/** RFC 9659: what a decoder of HTTP must be able to hold, and an encoder may not exceed, `2^23` bytes. */
const ZSTD_WINDOW_LOG = 23;
const CHUNK_BYTES = 32 * 1024;
/** More than one is rare, more than this is an attack. */
const MAX_CODINGS = 3;

/** In the order in which they were applied; `unknown` where one cannot be read. */
export function codingsOf(contentEncoding: string | undefined): readonly Coding[] | "unknown" {
  if (contentEncoding === undefined) return [];
  const names = contentEncoding
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "identity");
  const codings: Coding[] = [];
  for (const name of names) {
    const coding = Object.hasOwn(CODINGS, name) ? CODINGS[name] : undefined;
    if (coding === undefined || codings.length === MAX_CODINGS) return "unknown";
    codings.push(coding);
  }
  return codings;
}

/** What of an Accept-Encoding can be read; `identity` where nothing can. */
export function readableCodings(acceptEncoding: string): string {
  const kept: string[] = [];
  for (const part of acceptEncoding.split(",")) {
    const name = part.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    if (name === "identity" || Object.hasOwn(CODINGS, name)) kept.push(part.trim());
  }
  return kept.length > 0 ? kept.join(", ") : "identity";
}

/** @param first what the body begins with: `deflate` is sent with and without zlib's header */
export function createDecoder(coding: Coding, first: number): Transform {
  const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush, ZSTD_d_windowLogMax } = constants;
  // As browsers do, a body whose end is missing is taken for what there is of it; its framing tells if it was cut off.
  const options = { chunkSize: CHUNK_BYTES, flush: Z_SYNC_FLUSH, finishFlush: Z_SYNC_FLUSH };
  switch (coding) {
    case "gzip":
      return createGunzip(options);
    case "deflate":
      return (first & 0x0f) === 8 ? createInflate(options) : createInflateRaw(options);
    case "br":
      return createBrotliDecompress({
        chunkSize: CHUNK_BYTES,
        flush: BROTLI_OPERATION_FLUSH,
        finishFlush: BROTLI_OPERATION_FLUSH,
      });
    case "zstd":
      return createZstdDecompress({
        chunkSize: CHUNK_BYTES,
        flush: ZSTD_e_flush,
        finishFlush: ZSTD_e_flush,
        params: { [ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
      });
  }
}
