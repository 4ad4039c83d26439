import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Programs } from "./programs/programs.ts";

/** Seconds before a container is killed: a killed server loses its unfinished work. */
const STOP_TIMEOUT_SECONDS = 60;

/** Runs docker or podman. Throws `program-failed` with its message, `program-missing`. */
export function engine(name: string, args: readonly string[], programs: Programs): Promise<string> {
  return programs.run({ name, args, timeout: (STOP_TIMEOUT_SECONDS + 60) * 1000 });
}

export const stopContainers = (name: string, containers: readonly string[], programs: Programs) =>
  engine(name, ["stop", "--time", String(STOP_TIMEOUT_SECONDS), ...containers], programs);

export interface ContainerState {
  readonly isRunning: boolean;
  /** As `update --restart` takes it: "no", "always", "unless-stopped", "on-failure:5". */
  readonly policy: string;
}

const Inspected = z
  .array(
    z.object({
      State: z.object({ Running: z.boolean() }),
      HostConfig: z.object({
        RestartPolicy: z
          .object({ Name: z.string(), MaximumRetryCount: z.number().default(0) })
          .default({ Name: "", MaximumRetryCount: 0 }),
      }),
    }),
  )
  .length(1);

export async function containerState(
  name: string,
  container: string,
  programs: Programs,
): Promise<ContainerState> {
  const said = await engine(name, ["inspect", "--type", "container", container], programs);
  let found: z.infer<typeof Inspected>;
  try {
    found = Inspected.parse(JSON.parse(said));
  } catch {
    throw new MigrationError("program-failed", `${name} inspect gives no readable answer for ${container}`);
  }
  const { State, HostConfig } = found[0]!;
  const { Name, MaximumRetryCount } = HostConfig.RestartPolicy;
  const count = Name === "on-failure" && MaximumRetryCount > 0 ? `:${MaximumRetryCount}` : "";
  return { isRunning: State.Running, policy: Name === "" ? "no" : `${Name}${count}` };
}
