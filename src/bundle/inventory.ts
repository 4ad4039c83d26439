import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "../errors.ts";
import { type Digest, reportDigest } from "../pipeline/digest.ts";
import { decryptWith, type EncryptionAhead, type EncryptionKeys } from "../pipeline/encrypt.ts";
import type { Bytes } from "../system/bytes.ts";
import type { Files } from "../system/files/files.ts";
import { isGpgDamageError } from "../system/gpg/gpg.ts";
import type { Machine } from "../system/machine.ts";
import { INVENTORY } from "./layout.ts";
import { FORMAT_VERSION, formatSchema, versionFor, versionSchema } from "./manifest.ts";

const measureSchema = z.object({ size: z.number(), sha256: z.string() });

const recordedSchema = z.object({
  name: z.string(),
  format: formatSchema,
  size: z.number(),
  sha256: z.string(),
  parts: z.array(measureSchema.extend({ name: z.string() })),
  /** Decrypted and gunzipped. */
  plain: measureSchema,
});

const contentSchema = z.object({
  format: z.literal("synlift-inventory"),
  version: versionSchema,
  id: z.string(),
  created: z.string(),
  rehearsal: z.boolean(),
  /** A copy of what the manifest says unencrypted; set when the bundle is sealed. */
  stated: z
    .object({
      subject: z.string(),
      outageSince: z.string().nullable(),
      sealed: z.string().optional(),
      recipients: z.array(z.string()).optional(),
      /** The SHA-256 of OPENING.txt, which has no other proof. Missing in bundles of earlier versions. */
      opening: z.string().optional(),
    })
    .optional(),
  /** Hex. The key of the HMACs that serve as fingerprints of secrets. */
  salt: z.string(),
  artifacts: z.record(z.string(), recordedSchema),
  sections: z.record(z.string(), z.unknown()),
});

type Content = z.infer<typeof contentSchema>;
export type RecordedArtifact = z.infer<typeof recordedSchema>;

/**
 * What was counted at the source, in sections whose content only their writers know, and the list of hashes that
 * protects the manifest against changes. Encrypted like the artifacts, and replaced atomically after each change.
 */
export class Inventory {
  #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  static begin(machine: Machine, rehearsal: boolean): Inventory {
    return new Inventory({
      format: "synlift-inventory",
      version: 1,
      id: machine.uuid(),
      created: new Date(machine.now()).toISOString(),
      rehearsal,
      salt: Buffer.from(machine.random(32)).toString("hex"),
      artifacts: {},
      sections: {},
    });
  }

  /** Throws `passphrase-wrong`, or `bundle-damaged` when it is not an inventory. */
  static async read(source: Bytes, lock: EncryptionKeys, path: string): Promise<Inventory> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of decryptWith(lock)(source)) chunks.push(chunk);
      return Inventory.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")), path);
    } catch (error) {
      if (error instanceof MigrationError && !isGpgDamageError(error)) throw error;
      if (error instanceof MigrationError || error instanceof SyntaxError)
        throw unreadable(path, error instanceof MigrationError ? error : undefined);
      throw error;
    }
  }

  /** Parses what `content` returned. `where` names its origin in errors. Throws `bundle-damaged`, `bundle-too-new`. */
  static parse(raw: unknown, where: string): Inventory {
    assertSupportedVersion(raw, where);
    const parsed = contentSchema.safeParse(raw);
    if (!parsed.success) throw unreadable(where);
    return new Inventory(parsed.data);
  }

  /** The whole inventory as JSON. Confidential like the data it describes. */
  get content(): unknown {
    return this.#content;
  }

  get id(): string {
    return this.#content.id;
  }

  get created(): string {
    return this.#content.created;
  }

  get rehearsal(): boolean {
    return this.#content.rehearsal;
  }

  /** What the manifest must match; undefined in a bundle that was never sealed. */
  get stated(): Content["stated"] {
    return this.#content.stated;
  }

  state(stated: NonNullable<Content["stated"]>): void {
    this.#content.stated = stated;
  }

  get salt(): Uint8Array {
    return Buffer.from(this.#content.salt, "hex");
  }

  get artifacts(): readonly RecordedArtifact[] {
    return Object.values(this.#content.artifacts);
  }

  /** The content of a section, in its writer's format; undefined when there is none. */
  section(name: string): unknown {
    return this.#content.sections[name];
  }

  setSection(name: string, section: unknown): void {
    this.#content.sections[name] = section;
  }

  setArtifact(artifact: RecordedArtifact): void {
    this.#content.artifacts[artifact.name] = artifact;
    this.#content.version = versionFor(this.artifacts);
  }

  dropArtifact(name: string): void {
    this.#content.artifacts = Object.fromEntries(
      Object.entries(this.#content.artifacts).filter(([key]) => key !== name),
    );
    this.#content.version = versionFor(this.artifacts);
  }

  /** Writes the inventory into a folder, encrypted, and replaces the old one atomically. */
  async save(folder: string, encryption: EncryptionAhead, files: Files): Promise<Digest> {
    const path = join(folder, INVENTORY);
    const text = Buffer.from(`${JSON.stringify(this.#content)}\n`);
    let seen: Digest | undefined;
    const sealed = reportDigest((measured) => (seen = measured))(encryption.encrypt(text));
    const file = await files.begin(path);
    try {
      for await (const chunk of sealed) await file.write(chunk);
      await file.finish();
    } finally {
      await file.abandon();
    }
    return seen!;
  }
}

const unreadable = (where: string, cause?: MigrationError) =>
  new MigrationError("bundle-damaged", `${where} is not an inventory that can be read`, {
    hint: "copy the bundle again from the host that made it",
    cause,
  });

function assertSupportedVersion(raw: unknown, path: string): void {
  const found = z.object({ format: z.literal("synlift-inventory"), version: z.number() }).safeParse(raw);
  if (!found.success || found.data.version <= FORMAT_VERSION) return;
  throw new MigrationError(
    "bundle-too-new",
    `${path} has format version ${found.data.version}, this synlift reads up to version ${FORMAT_VERSION}`,
    {
      hint: "use the version of synlift that made the bundle, or a newer one",
    },
  );
}
