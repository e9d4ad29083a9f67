/** Bodies that are longer than usual: only so many at one time, whoever sends them. */
import { ApiError } from "../api-error.ts";

const MAX_AT_ONCE = 4;
const RETRY_SECONDS = 2;

export class LongBodies {
  #taken = 0;

  /** @throws ApiError `RATE_LIMITED` */
  take(): Disposable {
    if (this.#taken >= MAX_AT_ONCE) {
      throw new ApiError("RATE_LIMITED", "the server reads as many deployments as it can: try again", {
        retryAfterSeconds: RETRY_SECONDS,
      });
    }
    this.#taken++;
    return { [Symbol.dispose]: () => this.#taken-- };
  }
}
