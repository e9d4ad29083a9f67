/** In what forms the value of a secret could stand in a file, in memory, or in what a guest received. */

/** Latin1 patterns: as it is, percent-encoded, JSON- and HTML-escaped, hexadecimal, UTF-16, base64 at any alignment. */
export function valueForms(value: string): Map<string, Buffer> {
  const bytes = Buffer.from(value);
  const forms = new Map<string, Buffer>([
    ["as it is", bytes],
    ["percent-encoded", Buffer.from(encodeURIComponent(value))],
    ["percent-encoded throughout", Buffer.from([...bytes].map((byte) => `%${hex(byte)}`).join(""))],
    ["JSON", Buffer.from(JSON.stringify(value).slice(1, -1))],
    ["hexadecimal", Buffer.from(bytes.toString("hex"))],
    ["UTF-16", Buffer.from(value, "utf16le")],
  ]);
  for (const kind of ["base64", "base64url"] as const) {
    for (let shift = 0; shift < 3; shift += 1) {
      const text = Buffer.concat([Buffer.alloc(shift), bytes])
        .toString(kind)
        .replace(/=+$/, "");
      // What does not depend on its neighbours.
      forms.set(`${kind} at ${shift}`, Buffer.from(text.slice(shift === 0 ? 0 : shift + 1, -2)));
    }
  }
  return forms;
}

/** Names of the forms that are in `data`. */
export function findForms(data: Buffer, value: string): string[] {
  return [...valueForms(value)].filter(([, pattern]) => data.includes(pattern)).map(([name]) => name);
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
