/**
 * `new Request(request, init)` puts a stream of its own between the bodies, which reads ahead at once (undici does as
 * the Fetch standard says). A hook that changes a header only would so pull the whole body through this process. Here the
 * new request takes the very stream of the old one, and that shows who never read it.
 */
export function shareUnreadBodies(): void {
  const Original = globalThis.Request;
  // Of the class itself: a property of the object may say another one (presented.ts).
  const methodOf = (request: Request): unknown => Reflect.get(Original.prototype, "method", request);
  globalThis.Request = new Proxy(Original, {
    construct(target, [input, init]: [unknown, RequestInit | undefined], newTarget: typeof Request) {
      if (!(input instanceof target) || input.body === null || input.bodyUsed || hasBody(init)) {
        return Reflect.construct(target, [input, init], newTarget) as Request;
      }
      const { headers, signal, body, redirect } = input;
      const shared = { method: methodOf(input), headers, signal, redirect, ...init, body, duplex: "half" };
      return Reflect.construct(target, [input.url, shared], newTarget) as Request;
    },
  });
}

function hasBody(init: RequestInit | undefined): boolean {
  return init?.body !== undefined && init.body !== null;
}
