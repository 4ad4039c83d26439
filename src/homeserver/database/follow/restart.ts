import { join } from "node:path";
import { MigrationError, tryRead } from "../../../errors.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";
import { systemctl } from "../../../system/systemd/systemctl.ts";
import type { System } from "../../../system/system.ts";
import type { SourceFacts } from "./facts.ts";

/** Milliseconds until PostgreSQL answers again, and between two tries. */
const START_TIMEOUT = 120_000;
const PAUSE = 250;

/** The systemd unit that runs this PostgreSQL, by the control group of its process; undefined where there is none on this host. */
export async function unitOfPostgres(
  { settings, disk }: Pick<SourceFacts, "settings" | "disk">,
  { files }: Pick<System, "files">,
): Promise<string | undefined> {
  const data = settings["data_directory"]?.value;
  if (data === undefined || disk === null) return undefined;
  // Its first line is the process id (PostgreSQL documentation, Database File Layout).
  const lines = await tryRead(() => files.readText(join(data, "postmaster.pid")));
  const pid = lines?.split("\n")[0]?.trim() ?? "";
  if (!/^\d+$/.test(pid)) return undefined;
  const group = await tryRead(() => files.readText(`/proc/${pid}/cgroup`));
  return unitIn(group ?? "");
}

/** "0::/system.slice/system-postgresql.slice/postgresql@15-main.service"; not the unit of a container engine. */
function unitIn(group: string): string | undefined {
  if (/docker|libpod|containerd|kubepods|lxc|machine\.slice/.test(group)) return undefined;
  const found = /^\d+:[^:]*:.*\/(\S*postgres\S*\.service)\s*$/m.exec(group)?.[1];
  return found !== undefined && /^[\w@:.\\-]+$/.test(found) ? found : undefined;
}

/**
 * Restarts it, and waits until it answers with another wal_level. Throws `start-failed` when it does not run then, and
 * `follow-impossible` when it runs as before.
 */
export async function restartPostgres(
  unit: string,
  connect: () => Promise<PostgresSession>,
  { programs, machine, signal }: Pick<System, "programs" | "machine" | "signal">,
): Promise<void> {
  try {
    await systemctl(["restart", unit], programs);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof MigrationError)) throw error;
    throw notRunning(unit, `PostgreSQL did not start again: ${error.message}`, error);
  }
  const until = machine.elapsed() + START_TIMEOUT;
  for (;;) {
    signal.throwIfAborted();
    const session = await tryRead(connect);
    if (session) {
      const level = await walLevel(session).finally(() => session.close());
      if (level === "logical") return;
      throw new MigrationError(
        "follow-impossible",
        `PostgreSQL was restarted, and wal_level is still ${level}`,
        { hint: "something overrides postgresql.auto.conf: look at the command line that starts PostgreSQL" },
      );
    }
    if (machine.elapsed() > until)
      throw notRunning(unit, `PostgreSQL does not answer after systemctl restart ${unit}`);
    await machine.wait(PAUSE, signal);
  }
}

/** The old server is without its database: that comes first. */
const notRunning = (unit: string, what: string, cause?: unknown) =>
  new MigrationError("start-failed", `${what}; the old server is without its database until it runs`, {
    hint: `see why: journalctl -u ${unit}, and PostgreSQL's own log; mend that, then systemctl start ${unit}. The same command goes on then, and synlift follow stop takes back what was changed`,
    cause,
  });

const walLevel = async (session: PostgresSession) =>
  (await session.one<{ level: string }>("SELECT current_setting('wal_level') AS level")).level;
