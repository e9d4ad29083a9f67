/** A process whose descriptor 3 is the link: a stack that echoes what every flow sends. Ends with its link. */
import { openNetStack } from "../../../src/egress/net/net-stack.ts";

const stack = openNetStack({
  link: { fd: 3 },
  onFlow: (flow) => {
    const stream = flow.accept();
    stream.pipe(stream);
  },
  onDatagram: () => undefined,
});
await stack.closed;
