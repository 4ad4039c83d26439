import { z } from "zod";
import { MigrationError } from "../errors.ts";
import { SAFE_NAME } from "./layout.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().nonnegative();
const name = z.string().regex(SAFE_NAME);

/** The format of an artifact after decryption and decompression. "pg-custom" is pg_dump's custom format. */
export const formatSchema = z.enum(["sql", "tar", "pg-custom"]);

/** The newest format version that this synlift reads; it reads all earlier ones. */
export const FORMAT_VERSION = 2;
export const versionSchema = z.union([z.literal(1), z.literal(FORMAT_VERSION)]);

/** The format version of a bundle with these artifacts: the oldest that supports their formats. */
export const versionFor = (artifacts: readonly { readonly format: z.infer<typeof formatSchema> }[]): 1 | 2 =>
  artifacts.some(({ format }) => format === "pg-custom") ? 2 : 1;

const partSchema = z.object({ name, size, sha256 });

const artifactSchema = z
  .object({
    /** With its suffix: "customer_db_export.sql.gz.gpg". */
    name,
    /** The format after decryption and decompression. */
    format: formatSchema,
    /** Of all parts together. */
    size,
    sha256,
    /** In order. One part, with the artifact's own name, when it was not split. */
    parts: z.array(partSchema).min(1),
  })
  .refine((artifact) => artifact.parts.reduce((sum, part) => sum + part.size, 0) === artifact.size, {
    error: "the sizes of the parts do not add up",
  });

const manifestSchema = z.object({
  format: z.literal("synlift-bundle"),
  /** See `versionFor`. */
  version: versionSchema,
  /** The same in the encrypted inventory. */
  id: z.string(),
  /** When the export was started; ISO 8601. */
  created: z.string(),
  /** When the bundle was completed; ISO 8601. Missing in bundles of earlier versions. */
  sealed: z.string().optional(),
  program: z.string(),
  /** The server name of the homeserver. */
  subject: z.string(),
  /** Made from a running server, as a rehearsal. */
  rehearsal: z.boolean(),
  /** When the outage began, as far as it is known; ISO 8601. */
  outageSince: z.string().nullable(),
  encryption: z.literal("openpgp-passphrase"),
  /** Fingerprints of the keys that open the bundle; missing when it is opened with a passphrase. */
  recipients: z
    .array(z.string().regex(/^[0-9A-F]{40,64}$/))
    .min(1)
    .optional(),
  artifacts: z.array(artifactSchema),
  inventory: partSchema,
});

export type Manifest = z.infer<typeof manifestSchema>;

/** The time that distinguishes two successive bundles in one folder. */
export const bundleTime = ({ sealed, created }: Pick<Manifest, "sealed" | "created">): string =>
  sealed ?? created;
export type Artifact = Manifest["artifacts"][number];
export type Part = Artifact["parts"][number];

/** Throws `bundle-too-new` for a format of later versions, `bundle-damaged` for anything that is not a manifest. */
export function parseManifest(text: string, path: string): Manifest {
  const damaged = (why: string) =>
    new MigrationError("bundle-damaged", `${path} is not a manifest: ${why}`, {
      hint: "copy the bundle again from the host that made it",
    });
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw damaged("it is not JSON");
  }
  const version = z.object({ format: z.literal("synlift-bundle"), version: z.number() }).safeParse(raw);
  if (version.success && version.data.version > FORMAT_VERSION) {
    throw new MigrationError(
      "bundle-too-new",
      `${path} has format version ${version.data.version}, this synlift reads up to version ${FORMAT_VERSION}`,
      {
        hint: "use the version of synlift that made the bundle, or a newer one",
      },
    );
  }
  const parsed = manifestSchema.safeParse(raw);
  if (!parsed.success)
    throw damaged(parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
  const names = [...parsed.data.artifacts.flatMap((artifact) => artifact.parts), parsed.data.inventory].map(
    (part) => part.name,
  );
  if (new Set(names).size !== names.length) throw damaged("it contains a file name twice");
  return parsed.data;
}
