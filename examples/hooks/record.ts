/** One JSON line for each response, with its size, in requests.jsonl beside this module. Bodies stream on meanwhile. */
import { appendFileSync } from "node:fs";
import type { OnResponse } from "sbx/hooks";

const FILE = new URL("requests.jsonl", import.meta.url);

export const onResponse: OnResponse = (response, request, { sandbox, flow }) => {
  const { origin, pathname } = new URL(request.url);
  const started = performance.now();
  let bytes = 0;
  const record = (): void => {
    const { method } = request;
    const ms = Math.round(performance.now() - started);
    const line = { sandbox: sandbox.name, flow, method, url: origin + pathname, status: response.status, bytes, ms };
    appendFileSync(FILE, `${JSON.stringify(line)}\n`, { mode: 0o600 });
  };
  if (response.body === null) {
    record();
    return undefined;
  }
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(part, controller) {
      bytes += part.length;
      controller.enqueue(part);
    },
    flush: record,
  });
  return new Response(response.body.pipeThrough(counter), response);
};
