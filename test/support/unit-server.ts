import assert from "node:assert/strict";
import { existsSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { synapsePython } from "./lab/synapse-server.ts";
import { exportTo, makeOldServer, type OldServer, type OldServerOptions } from "./old-server.ts";
import { filesBelow } from "./secrets.ts";
import { StandInSystemctl } from "./stand-in-systemctl.ts";

export const UNIT = "old-synapse.service";

/** An old server that systemd (a stand-in) runs, and that people lived on. It serves. */
export interface UnitServer {
  readonly old: OldServer;
  readonly systemctl: StandInSystemctl;
  /** For synlift. */
  readonly env: { readonly PATH: string };
  /** Arguments of a real export of it, for a bundle in that folder. */
  realExport(out: string): string[];
  untilAnswers(): Promise<void>;
  /** Throws when it does not let people write. */
  canWrite(): Promise<void>;
  /** Ends all of it, however far it is fenced. */
  close(): Promise<void>;
}

/** `database` is what its PostgreSQL is told besides. */
export async function makeUnitServer(
  database: Pick<OldServerOptions, "settings" | "access" | "major"> = {},
): Promise<UnitServer> {
  const old = await makeOldServer({ ...database, stopped: true });
  // Old: files of the last moments are left for the second archive.
  for (const path of filesBelow(old.home.mediaStorePath)) utimesSync(path, 1_700_000_000, 1_700_000_000);
  const { dataFolder, configFile } = old.home;
  const configs = [configFile, join(old.configPaths[1]!, "limits.yaml")];
  const environment = Object.entries(old.environment).map(([name, value]) => `${name}=${value}`);
  const systemctl = new StandInSystemctl([
    {
      name: UNIT,
      start: `cd ${dataFolder} && exec env ${environment.join(" ")} ${synapsePython()} -m synapse.app.homeserver ${configs.map((path) => `-c ${path}`).join(" ")} -D`,
      pidFile: join(dataFolder, "homeserver.pid"),
    },
  ]);
  systemctl.run("start", UNIT);
  const untilAnswers = async () => {
    for (let attempt = 0; ; attempt++) {
      const answer = await fetch(`${old.server.baseUrl}/health`).catch(() => undefined);
      if (answer?.ok === true) return;
      const log = join(dataFolder, "homeserver.log");
      assert.ok(attempt < 1800, existsSync(log) ? readFileSync(log, "utf8").slice(-2000) : "no log");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await untilAnswers();
  return {
    old,
    systemctl,
    env: { PATH: systemctl.path },
    realExport: (out) => [...exportTo(old, out), "--yes", "--unit", UNIT],
    untilAnswers,
    canWrite: async () => {
      await untilAnswers();
      await old.people.alice.send(old.people.rooms.public.id, "still here");
    },
    close: async () => {
      systemctl.run("unmask", UNIT);
      systemctl.run("stop", UNIT);
      await old.cluster.stop();
    },
  };
}
