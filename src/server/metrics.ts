/** What the server counts, in Prometheus' text format. No organisation, id or path of a client's is in it. */

export class Metrics {
  readonly #requests = new Map<string, { count: number; seconds: number }>();
  #creations = 0;
  #failedCreations = 0;
  #creationSeconds = 0;

  request(route: string, status: number, seconds: number): void {
    const key = `route="${route}",status="${status}"`;
    const entry = this.#requests.get(key) ?? { count: 0, seconds: 0 };
    this.#requests.set(key, { count: entry.count + 1, seconds: entry.seconds + seconds });
  }

  creation(succeeded: boolean, seconds: number): void {
    if (succeeded) this.#creations++;
    else this.#failedCreations++;
    this.#creationSeconds += seconds;
  }

  /** @param gauges what there is at this moment, by name */
  render(gauges: Readonly<Record<string, number>>): string {
    const requests = [...this.#requests];
    const families = [
      family(
        "sbx_requests_total",
        "counter",
        requests.map(([labels, { count }]) => [`{${labels}}`, count]),
      ),
      family(
        "sbx_request_seconds_total",
        "counter",
        requests.map(([labels, { seconds }]) => [`{${labels}}`, seconds]),
      ),
      family("sbx_creations_total", "counter", [
        ['{result="started"}', this.#creations],
        ['{result="failed"}', this.#failedCreations],
      ]),
      family("sbx_creation_seconds_total", "counter", [["", this.#creationSeconds]]),
      ...Object.entries(gauges).map(([name, value]) => family(name, "gauge", [["", value]])),
    ];
    return `${families.join("\n")}\n`;
  }
}

function family(name: string, type: string, samples: readonly (readonly [labels: string, value: number])[]): string {
  return [`# TYPE ${name} ${type}`, ...samples.map(([labels, value]) => `${name}${labels} ${value}`)].join("\n");
}
