/** `envGet`, `envSet`, `envDelete`, `envToObject`: the environment of processes that start from now on. */
import type { Handlers } from "./session.ts";

type Methods = "envGet" | "envSet" | "envDelete" | "envToObject";

export const ENVIRONMENT_HANDLERS: Handlers<Methods> = {
  envGet: ({ session }, { key }) => session.state.environment.get(key) ?? null,
  envSet: ({ session }, { key, value }) => {
    session.state.environment.set(key, value);
    return null;
  },
  envDelete: ({ session }, { key }) => {
    session.state.environment.delete(key);
    return null;
  },
  envToObject: ({ session }) => session.state.environment.toObject(),
};
