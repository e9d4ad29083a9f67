/** Calls of the published API on objects that are found by id or slug. */
import type * as z from "zod/mini";
import type { CallOptions } from "../../types.ts";
import { parseValue, type ControlClient } from "../control-client.ts";
import { readPages } from "../published-pages.ts";

const ROOT = "/api/v2";

type Query = Readonly<Record<string, string | number | undefined>>;

export class PublishedObjects {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  /** Parts of a path are encoded. */
  at(parts: readonly string[], query: Query = {}): URL {
    const url = this.#client.endpoints.api([ROOT, ...parts.map(encodeURIComponent)].join("/"));
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, String(value));
    return url;
  }

  async get<T>(schema: z.ZodMiniType<T>, parts: readonly string[], { signal }: CallOptions, query?: Query): Promise<T> {
    const url = this.at(parts, query);
    const { value } = await this.#client.published({ method: "GET", url, signal });
    return parseValue(schema, value, url);
  }

  async list<T>(schema: z.ZodMiniType<T[]>, url: URL, { signal }: CallOptions): Promise<T[]> {
    return readPages(this.#client, url, schema, signal);
  }

  async send<T>(
    method: "POST" | "PATCH",
    schema: z.ZodMiniType<T>,
    parts: readonly string[],
    body: object,
    { signal }: CallOptions,
  ): Promise<T> {
    const url = this.at(parts);
    const { value } = await this.#client.published({ method, url, body, signal });
    return parseValue(schema, value, url);
  }

  async remove(parts: readonly string[], { signal }: CallOptions): Promise<void> {
    await this.#client.published({ method: "DELETE", url: this.at(parts), signal });
  }

  /** Objects as they come, until there is nothing more. */
  async *follow<T>(
    schema: z.ZodMiniType<T>,
    parts: readonly string[],
    { signal }: CallOptions,
    query?: Query,
  ): AsyncIterable<T> {
    const url = this.at(parts, query);
    for await (const value of this.#client.publishedLines(url, signal)) yield parseValue(schema, value, url);
  }
}
