/** Base64 of the sandbox RPC: standard alphabet, padded. What arrives is untrusted. */

/** @param bytes not copied before encoding */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/**
 * Decodes padded base64.
 *
 * Node skips what is not base64, so a wrong text shows itself by decoding to fewer bytes than its length promises.
 *
 * @throws TypeError if the text is not base64
 */
export function decodeBase64(text: string): Buffer {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const expectedBytes = (text.length / 4) * 3 - padding;
  const bytes = Buffer.from(text, "base64");
  if (text.length % 4 !== 0 || bytes.length !== expectedBytes) throw new TypeError("invalid base64 data");
  return bytes;
}
