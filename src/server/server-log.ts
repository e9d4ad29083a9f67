/**
 * The server's log: one JSON object a line. Of a request there are the route, who asked and how it ended; never its
 * header fields, its query or its body, where tokens and secrets are.
 */
import type { Writable } from "node:stream";

export type LogLevel = "info" | "warning" | "error";

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface ServerLog {
  write(level: LogLevel, event: string, fields?: LogFields): void;
}

/** What an operator wants to know of a failure: messages, outermost first. They name places of this machine. */
export function failureText(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error && messages.length < 6; cause = cause.cause) {
    messages.push(cause.message);
  }
  return messages.length === 0 ? String(error) : messages.join(": ");
}

export function openServerLog(stream: Writable, now: () => number): ServerLog {
  return {
    write(level, event, fields = {}) {
      stream.write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, event, ...fields })}\n`);
    },
  };
}
