import type { Inventory } from "../../bundle/inventory.ts";
import { sealedName } from "../../bundle/layout.ts";
import type { QuerySession } from "../../system/query.ts";
import { DATABASE_ARTIFACT, MAS_DATABASE_ARTIFACT, STATE_ARTIFACT } from "./export.ts";
import { SQLITE_ARTIFACT } from "./export-sqlite.ts";

type Engine = QuerySession["engine"];

/** What a database is packed as, by its plain name. */
export const databaseArtifact = (engine: Engine) =>
  engine === "sqlite" ? SQLITE_ARTIFACT : DATABASE_ARTIFACT;

/** Whether a file of a bundle is the database, by its own name. */
export const isDatabaseArtifact = (name: string) =>
  [DATABASE_ARTIFACT, STATE_ARTIFACT, MAS_DATABASE_ARTIFACT, SQLITE_ARTIFACT].map(sealedName).includes(name);

/** Bytes of the dump or of the file, about; 0 where the bundle has none. */
export const databaseBytes = ({ artifacts }: Pick<Inventory, "artifacts">): number =>
  artifacts.find(({ name }) => isDatabaseArtifact(name))?.plain.size ?? 0;

/** For people. */
export const ENGINE_NAMES: Readonly<Record<Engine, string>> = { postgres: "PostgreSQL", sqlite: "SQLite" };
