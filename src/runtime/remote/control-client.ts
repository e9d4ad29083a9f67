/**
 * The client of a control plane: the published REST calls, and those that sbx has beyond them (protocol/control-call.ts).
 * A server that has only the published ones is known by what its answers lack. What it sends is untrusted, and parsed here.
 */
import type * as z from "zod/mini";
import { CONTROL_HEADER } from "../../protocol/control-call.ts";
import {
  ABOUT_PATH,
  aboutAnswer,
  CONTROL_CALLS,
  controlPath,
  type AboutAnswer,
  type ControlCallName,
  type ControlParams,
  type ControlResult,
} from "../../protocol/control-calls.ts";
import { SbxError } from "../errors.ts";
import { refusalError } from "../sandbox/handshake.ts";
import type { CallOptions } from "../types.ts";
import { Endpoints, type RemoteEndpoint } from "./endpoints.ts";
import { openAgents, readText, type HttpAgents, type HttpAnswer } from "./http-answer.ts";
import { readLines, resultOf } from "./line-reader.ts";
import { readJsonLines } from "./published-lines.ts";
import { unsupported } from "./unsupported.ts";

export interface PublishedRequest {
  method: "GET" | "POST" | "PATCH" | "DELETE";
  url: URL;
  body?: object;
  signal?: AbortSignal | undefined;
}

export class ControlClient implements Disposable {
  readonly endpoints: Endpoints;
  readonly #agents: HttpAgents;
  #about: Promise<AboutAnswer | undefined> | undefined;

  constructor(endpoint: RemoteEndpoint) {
    this.endpoints = new Endpoints(endpoint);
    this.#agents = openAgents(this.endpoints.isOwnMachine);
  }

  /** What the server says of itself; undefined where it has only the published API. Asked once. */
  async about({ signal }: CallOptions = {}): Promise<AboutAnswer | undefined> {
    this.#about ??= this.#askAbout(signal);
    try {
      return await this.#about;
    } catch (error) {
      this.#about = undefined; // the next call may have better luck
      throw error;
    }
  }

  /** Whether the server has a call, or something else that it says it has. */
  async offers(feature: string, options: CallOptions = {}): Promise<boolean> {
    return (await this.about(options))?.features.includes(feature) === true;
  }

  /**
   * @throws SbxError what the server refuses it with, `unsupported` where it does not have the call,
   *   `server_unreachable`, `server_failed`, `connection_closed`
   */
  async call<N extends ControlCallName>(
    name: N,
    params: ControlParams<N>,
    options: CallOptions = {},
  ): Promise<ControlResult<N>> {
    const { answer: kind, result } = CONTROL_CALLS[name];
    const url = this.endpoints.api(controlPath(name));
    const answer = await this.#post(name, url, params, options.signal);
    const value =
      kind === "value"
        ? parseJson(await readText(answer, url, options.signal), url)
        : await resultOf(readLines(answer, url, options.signal), url, options.onProgress);
    return parseValue(result, value, url) as ControlResult<N>;
  }

  /** Items, as they come. @throws as {@link call}, with the first item or a later one */
  async *items<N extends ControlCallName>(
    name: N,
    params: ControlParams<N>,
    { signal }: CallOptions = {},
  ): AsyncIterable<ControlResult<N>> {
    const url = this.endpoints.api(controlPath(name));
    const answer = await this.#post(name, url, params, signal);
    for await (const line of readLines(answer, url, signal)) {
      if ("item" in line) yield parseValue(CONTROL_CALLS[name].result, line.item, url) as ControlResult<N>;
    }
  }

  /** An answer of a call that came another way. @throws SbxError `server_failed` where it is none */
  parse<N extends ControlCallName>(name: N, value: unknown, url: URL): ControlResult<N> {
    return parseValue(CONTROL_CALLS[name].result, value, url) as ControlResult<N>;
  }

  /** A call of the published API. Its answer's body as JSON (undefined for none), and its fields. */
  async published({ method, url, body, signal }: PublishedRequest): Promise<{
    value: unknown;
    headers: HttpAnswer["headers"];
  }> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = { ...this.endpoints.headers, ...(text === undefined ? {} : JSON_TYPE) };
    const answer = await this.#agents.request({ method, url, headers, body: text, signal });
    const received = await readText(answer, url, signal);
    requireSuccess(answer, received, url);
    return { value: received === "" ? undefined : parseJson(received, url), headers: answer.headers };
  }

  /** Objects of a stream of the published API, as they come. @throws SbxError as {@link call} */
  async *publishedLines(url: URL, signal: AbortSignal | undefined): AsyncIterable<unknown> {
    const headers = { ...this.endpoints.headers, accept: "application/x-ndjson" };
    const answer = await this.#agents.request({ method: "GET", url, headers, signal });
    if (answer.status !== 200) requireSuccess(answer, await readText(answer, url, signal), url);
    yield* readJsonLines(answer, url, signal);
  }

  /** Another protocol at a place of the server's. @throws SbxError as {@link call} */
  async upgrade(
    url: URL,
    protocol: string,
    fields: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Exclude<Awaited<ReturnType<HttpAgents["upgrade"]>>, HttpAnswer>> {
    const headers = { ...this.endpoints.headers, ...fields, connection: "Upgrade", upgrade: protocol };
    const answer = await this.#agents.upgrade({ method: "GET", url, headers, signal });
    if ("stream" in answer) return answer;
    const text = await readText(answer, url, signal);
    requireControl(answer, "this connection", url);
    requireSuccess(answer, text, url);
    throw wrongAnswer(url);
  }

  /** What opens a WebSocket's connection: the one of the request before it, if that is still there. */
  webSocketAgent(url: string): ReturnType<HttpAgents["webSocketAgent"]> {
    return this.#agents.webSocketAgent(url);
  }

  [Symbol.dispose](): void {
    this.#agents[Symbol.dispose]();
  }

  async #post(name: string, url: URL, params: object, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    const headers = { ...this.endpoints.headers, ...JSON_TYPE };
    const answer = await this.#agents.request({ method: "POST", url, headers, body: JSON.stringify(params), signal });
    if (answer.status === 200 && isControl(answer)) return answer;
    const text = await readText(answer, url, signal);
    requireControl(answer, name, url);
    requireSuccess(answer, text, url);
    throw wrongAnswer(url);
  }

  async #askAbout(signal: AbortSignal | undefined): Promise<AboutAnswer | undefined> {
    const url = this.endpoints.api(ABOUT_PATH);
    const answer = await this.#agents.request({ method: "GET", url, headers: this.endpoints.headers, signal });
    const text = await readText(answer, url, signal);
    if (!isControl(answer)) return undefined;
    requireSuccess(answer, text, url);
    return parseValue(aboutAnswer(), parseJson(text, url), url);
  }
}

const JSON_TYPE = { "content-type": "application/json" };

/** Whether the answer is of a server that has sbx's own calls. */
function isControl({ headers }: HttpAnswer): boolean {
  return headers[CONTROL_HEADER] !== undefined;
}

/** @throws SbxError `unsupported` for a server without sbx's own calls, or without this one */
function requireControl(answer: HttpAnswer, name: string, url: URL): void {
  const { status } = answer;
  // Who has no right to anything is told that, whatever the server has; and one that is not well says so.
  if (status === 401 || status === 403 || status >= 500) return;
  if (!isControl(answer)) throw publishedOnly(name, url);
}

function publishedOnly(name: string, { origin }: URL): SbxError {
  return unsupported(`${origin} has only the published API, without ${name}`, "use a server that runs sbx serve");
}

/** Redirects are not followed: what is sent is for this server alone. */
function requireSuccess({ status, headers }: HttpAnswer, text: string, { origin }: URL): void {
  if (status >= 200 && status < 300) return;
  if (status >= 300 && status < 400) {
    throw new SbxError("server_failed", `${origin} sends requests on to another place, which sbx does not follow`, {
      hint: "log in to where it sends them, if that is yours",
    });
  }
  throw refusalError({ status, headers, body: text }, "server_failed", `${origin} refused the request`);
}

function parseJson(text: string, url: URL): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw wrongAnswer(url, cause);
  }
}

/** What does not fit its schema is not believed. */
export function parseValue<T extends z.core.$ZodType>(schema: T, value: unknown, url: URL): z.core.output<T> {
  const parsed = (schema as unknown as z.ZodMiniType<z.core.output<T>>).safeParse(value);
  if (parsed.success) return parsed.data;
  throw wrongAnswer(url, parsed.error);
}

export function wrongAnswer({ origin, pathname }: URL, cause?: unknown): SbxError {
  return new SbxError("server_failed", `${origin} gave an answer to ${pathname} that makes no sense`, {
    ...(cause === undefined ? {} : { cause }),
    hint: "see whether it is the server that is meant, and not an older or newer one",
  });
}
