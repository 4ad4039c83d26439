import { z } from "zod";
import { MigrationError } from "../../../errors.ts";
import { type Differing, differingSchema } from "../section.ts";
import { type ArchiveRecord, mxcOf, recordSchema } from "./record.ts";

/** What an archive says that it holds. */
export interface ArchiveManifest {
  readonly version: 1 | 2;
  /** The server's name, or the id of the one user whose media it is. */
  readonly entity: string;
  /** Milliseconds since 1970. */
  readonly createdTs: number;
  /** By the names of their entries: one entry may be the file of several records. */
  readonly byFile: ReadonlyMap<string, readonly ArchiveRecord[]>;
  readonly records: number;
  /** Uploads that had no whole file when synlift made the archive; none in those of other programs. */
  readonly missing: readonly Differing[];
  /** Keys whose record is another's, with the reason: the importer leaves them out, and so do we. */
  readonly refused: readonly { readonly key: string; readonly why: string }[];
}

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");

const manifestSchema = z.object({
  version: z.int(),
  entity_id: text,
  user_id: text,
  created_ts: z
    .int()
    .nullish()
    .transform((value) => value ?? 0),
  media: z.record(z.string(), z.unknown()).nullish(),
  /** Ours; other readers ignore it. */
  synlift: z
    .object({ missing: z.array(differingSchema) })
    .optional()
    .catch(undefined),
});

/**
 * Reads a manifest of version 1 or 2 (archival/v2archive/reader.go). Throws `archive-damaged` for whatever their
 * importer refuses; keys and records that do not belong together are listed.
 */
export function parseArchiveManifest(bytes: Uint8Array, where: string): ArchiveManifest {
  const refuse = (why: string) =>
    new MigrationError("archive-damaged", `${where}: its manifest ${why}`, {
      hint: "create the archive again, or ask the person who made it",
    });
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw refuse("is not JSON");
  }
  const head = manifestSchema.safeParse(raw);
  if (!head.success) throw refuse(faultsOf(head.error));
  const { version, media, created_ts: createdTs } = head.data;
  if (version !== 1 && version !== 2) throw refuse(`has version ${version}, which is not supported`);
  const entity = head.data.entity_id || (version === 1 ? head.data.user_id : "");
  if (entity === "") throw refuse("names no entity");
  if (media == null) throw refuse("has no media");
  const byFile = new Map<string, ArchiveRecord[]>();
  const refused: { key: string; why: string }[] = [];
  let records = 0;
  for (const [key, value] of Object.entries(media)) {
    const parsed = recordSchema.safeParse(value);
    if (!parsed.success) throw refuse(`is wrong on ${JSON.stringify(key)}: ${faultsOf(parsed.error)}`);
    const record = parsed.data;
    records += 1;
    if (mxcOf(record) !== key) refused.push({ key, why: `its record is that of ${mxcOf(record)}` });
    else if (record.file_name === "") refused.push({ key, why: "it names no file" });
    else if (!/^([0-9a-f]{64})?$/i.test(record.sha256))
      refused.push({ key, why: "its sha256 is not a valid hash" });
    else byFile.set(record.file_name, [...(byFile.get(record.file_name) ?? []), record]);
  }
  return { version, entity, createdTs, byFile, records, missing: head.data.synlift?.missing ?? [], refused };
}

const faultsOf = (error: z.ZodError) =>
  error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join(".") || "its form"}: ${message.toLowerCase()}`)
    .join("; ");
