import { MigrationError } from "../../errors.ts";
import { describeStore, type Store } from "../../homeserver/database/store.ts";
import { assertSameEngine, type DatabaseRestore, describeTarget } from "../../homeserver/database/target.ts";
import { assertFitsCompose } from "./layouts/compose.ts";
import { isPorted } from "./port-step.ts";
import type { RestoreTarget } from "./run.ts";

type Section = DatabaseRestore["section"];

/** What was counted in each database at the source; undefined for a database that it does not have. */
export interface SourceDatabases {
  readonly database: Section;
  readonly state: Section | undefined;
  readonly mas: Section | undefined;
}

/**
 * The databases, and where each goes, in the order in which they are restored. Throws `target-unsuitable` for another
 * engine, and `bad-usage` when a target is missing, not needed or named twice.
 */
export function databasesToRestore(
  target: Pick<RestoreTarget, "layout" | "database" | "stateDatabase" | "masDatabase" | "porting">,
  { database, state, mas }: SourceDatabases,
): DatabaseRestore[] {
  const ports = target.porting !== undefined;
  if (target.layout.compose) assertFitsCompose(database, state, ports);
  assertSameEngine(database, target.database, ports);
  if (ports && !isPorted({ section: database, target: target.database }))
    throw new MigrationError(
      "bad-usage",
      "--port: the database is not SQLite, or is not to become PostgreSQL",
      {
        hint: "leave it out",
      },
    );
  const all: DatabaseRestore[] = [{ store: "main", target: target.database, section: database }];
  for (const { store, given, section } of [
    { store: "state", given: target.stateDatabase, section: state },
    { store: "mas", given: target.masDatabase, section: mas },
  ] as const) {
    const option = `--${store}-database`;
    if (section && !given) throw missing(option, store);
    if (!section && given) throw notNeeded(option, store);
    if (!section || !given) continue;
    if (all.some((other) => describeTarget(other.target) === describeTarget(given)))
      throw new MigrationError("bad-usage", `${option} names the same database as another option`, {
        hint: "their tables have the same names: each needs a separate database",
      });
    all.push({ store, target: given, section });
  }
  return all;
}

const missing = (option: string, store: Store) =>
  new MigrationError(
    "bad-usage",
    `${option} must be given: the old server also has ${describeStore(store)}`,
    {
      hint: `give another empty database, or one that will be created${store === "mas" ? "; to move the service by other means: --no-mas" : ""}`,
    },
  );

const notNeeded = (option: string, store: Store) =>
  new MigrationError(
    "bad-usage",
    `${option}: the old server has no such database${store === "mas" ? ", or it is not in the bundle, or --no-mas excludes it" : ""}`,
    { hint: `leave it out: ${describeStore(store)} is not restored` },
  );
