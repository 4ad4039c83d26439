import { MigrationError } from "../../../errors.ts";
import { type PostgresSession, quoteLiteral } from "../../../system/postgres/postgres.ts";
import type { Machine } from "../../../system/machine.ts";
import type { FollowChange } from "./record.ts";

type Setting = Extract<FollowChange, { kind: "setting" }>;

/** Milliseconds until PostgreSQL has read its configuration again, and between two looks. */
const RELOAD_TIMEOUT = 30_000;
const PAUSE = 100;

/** What postgresql.auto.conf has for a setting now; null where it has nothing. Needs a superuser. */
async function autoConfValue(session: PostgresSession, name: string): Promise<string | null> {
  const lines = await session.all<{ value: string }>(`
    SELECT setting AS value FROM pg_file_settings
    WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf' AND name = ${quoteLiteral(name)}
    ORDER BY seqno`);
  return lines.at(-1)?.value ?? null;
}

/** Writes a setting to postgresql.auto.conf, or takes it out of there. It takes effect with the next reload or restart. */
export const writeAutoConf = (session: PostgresSession, name: string, value: string | null): Promise<void> =>
  session.runAlone(
    value === null ? `ALTER SYSTEM RESET ${name};` : `ALTER SYSTEM SET ${name} = ${quoteLiteral(value)};`,
  );

export const reload = (session: PostgresSession) =>
  session.one<{ reloaded: boolean }>("SELECT pg_reload_conf() AS reloaded");

/** Makes PostgreSQL use what was written. Throws `follow-impossible` when it does not: something overrides it. */
export async function reloadUntilUsed(
  session: PostgresSession,
  { name, after }: Pick<Setting, "name" | "after">,
  machine: Pick<Machine, "wait" | "elapsed">,
): Promise<void> {
  await reload(session);
  const until = machine.elapsed() + RELOAD_TIMEOUT;
  for (;;) {
    const { value } = await session.one<{ value: string }>(
      `SELECT setting AS value FROM pg_settings WHERE name = ${quoteLiteral(name)}`,
    );
    if (value === after) return;
    if (machine.elapsed() > until)
      throw new MigrationError(
        "follow-impossible",
        `${name} was set to ${after}, and PostgreSQL still uses ${value}`,
        {
          hint: "look into PostgreSQL's log: a line of its configuration that it cannot read keeps all of it from being read again",
        },
      );
    await machine.wait(PAUSE);
  }
}

/** Takes back what was written, unless somebody else has changed it meanwhile: then false. May be repeated. */
export async function restoreSetting(
  session: PostgresSession,
  { name, before, after }: Setting,
): Promise<boolean> {
  const now = await autoConfValue(session, name);
  if (now === before) return true;
  if (now !== after) return false;
  await writeAutoConf(session, name, before);
  return true;
}
