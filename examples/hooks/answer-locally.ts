/** Answers some requests itself, as a mock for tests: they never leave, whatever the policy allows. */
import type { OnRequest } from "sbx/hooks";

const ANSWERS: Readonly<Record<string, unknown>> = {
  "GET https://api.example.com/v1/models": { data: [{ id: "model-1" }] },
  "GET https://api.example.com/v1/account": { plan: "test" },
};

export const onRequest: OnRequest = (request) => {
  const { origin, pathname } = new URL(request.url);
  const answer = ANSWERS[`${request.method} ${origin}${pathname}`];
  return answer === undefined ? undefined : Response.json(answer);
};
