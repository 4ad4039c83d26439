import type { z } from "zod";
import type { Inventory } from "../bundle/inventory.ts";
import { MigrationError } from "../errors.ts";
import { CONFIG_SECTION } from "../homeserver/config/artifact.ts";
import { type ConfigSection, parseConfigSection } from "../homeserver/config/pack/packed-file.ts";
import { DATABASE_SECTION, MAS_DATABASE_SECTION, STATE_SECTION } from "../homeserver/database/export.ts";
import { type DatabaseSection, databaseSectionSchema } from "../homeserver/database/section.ts";
import { MAS_SECTION } from "../homeserver/mas/artifact.ts";
import { MEDIA_SECTION } from "../homeserver/media/export.ts";
import { type MediaSection, mediaSectionSchema } from "../homeserver/media/section.ts";
import {
  KEY_SECTION,
  parseSigningKeySection,
  type SigningKeySection,
} from "../homeserver/signing-key/export.ts";

/** The inventory sections: what was counted at the source. */
export interface Sections {
  readonly config: ConfigSection;
  readonly key: SigningKeySection;
  readonly database: DatabaseSection;
  /** Of the state groups, where they have a database of their own. */
  readonly state: DatabaseSection | undefined;
  /** Of the authentication service, where it is moved too: its database and its configuration. */
  readonly mas: { readonly database: DatabaseSection; readonly config: ConfigSection } | undefined;
  readonly media: MediaSection;
}

/** Throws `bundle-damaged` when one is missing or is not what its writer writes. */
export function sectionsOf(inventory: Inventory): Sections {
  return {
    config: parseConfigSection(inventory.section(CONFIG_SECTION)),
    key: parseSigningKeySection(inventory.section(KEY_SECTION)),
    database: parsed("database", databaseSectionSchema, inventory.section(DATABASE_SECTION)),
    state: optional("state database", databaseSectionSchema, inventory.section(STATE_SECTION)),
    mas: masOf(inventory),
    media: parsed("media", mediaSectionSchema, inventory.section(MEDIA_SECTION)),
  };
}

function masOf(inventory: Inventory): Sections["mas"] {
  const name = "authentication service's database";
  const database = optional(name, databaseSectionSchema, inventory.section(MAS_DATABASE_SECTION));
  return database && { database, config: parseConfigSection(inventory.section(MAS_SECTION)) };
}
/** The database sections known so far, in a transfer that is still running. Throws what `sectionsOf` throws. */
export const databaseSections = (
  inventory: Inventory,
): { database: DatabaseSection | undefined; state: DatabaseSection | undefined } => ({
  database: optional("database", databaseSectionSchema, inventory.section(DATABASE_SECTION)),
  state: optional("state database", databaseSectionSchema, inventory.section(STATE_SECTION)),
});

const optional = <Shape extends z.ZodType>(name: string, schema: Shape, value: unknown) =>
  value === undefined ? undefined : parsed(name, schema, value);

function parsed<Shape extends z.ZodType>(name: string, schema: Shape, value: unknown): z.infer<Shape> {
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  throw new MigrationError("bundle-damaged", `the inventory's section on the ${name} cannot be read`, {
    hint: "the bundle may have been made by another program: ask the person who made it",
  });
}
