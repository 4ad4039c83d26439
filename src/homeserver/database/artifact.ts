import type { Inventory } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import type { QuerySession } from "../../system/query.ts";
import { DUMP_FORMATS } from "./dump/format.ts";
import { dumpArtifact } from "./export.ts";
import { SQLITE_ARTIFACT } from "./sqlite/export.ts";
import { STORES } from "./store.ts";

type Engine = QuerySession["engine"];

const NAMES = [
  ...STORES.flatMap((store) => DUMP_FORMATS.map((format) => dumpArtifact(store, format))),
  SQLITE_ARTIFACT,
].map(encryptedName);

/** Whether a file of a bundle is the database, by its own name. */
export const isDatabaseArtifact = (name: string) => NAMES.includes(name);

/** Bytes of the dump or of the file, about; 0 where the bundle has none. */
export const databaseBytes = ({ artifacts }: Pick<Inventory, "artifacts">): number =>
  artifacts.find(({ name }) => isDatabaseArtifact(name))?.plain.size ?? 0;

/** For people. */
export const ENGINE_NAMES: Readonly<Record<Engine, string>> = { postgres: "PostgreSQL", sqlite: "SQLite" };
