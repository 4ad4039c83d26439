import { Readable } from "node:stream";
import type { ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import type { Step } from "../../journal/step.ts";
import { packTar, type TarEntry, unpackTar } from "../../pipeline/tar.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import { configInputs, type PackedConfig } from "./export.ts";
import type { PackedFile } from "./pack/packed-file.ts";

export const CONFIG_ARTIFACT = "customer_config_export.tar.gz";
export const CONFIG_SECTION = "config";

/** The artifact that holds the homeserver's own configuration, and the step that packs it. */
const OWN_CONFIG = {
  step: "export/config",
  artifact: CONFIG_ARTIFACT,
  label: "configuration and signing key",
} as const;

export interface ConfigExport {
  /** The homeserver's own when left out. */
  readonly as?: { readonly step: string; readonly artifact: string; readonly label: string };
  readonly packed: PackedConfig;
  /** What goes into the inventory beside the files: section name → section. */
  readonly sections: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, string>>;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly saved: () => Promise<void>;
  findFault: Step["findFault"];
}

/** Packs what is small and cannot be recreated: the configuration, the signing key, and the files that they name. */
export function exportConfig({
  as: { step, artifact: name, label } = OWN_CONFIG,
  packed,
  sections,
  inputs,
  into,
  inventory,
  saved,
  findFault,
}: ConfigExport): Step {
  return {
    id: step,
    label,
    inputs: { ...inputs, ...configInputs(packed.entries, inventory.salt) },
    findFault,
    async run() {
      const plan = { name, format: "tar", level: 6, label } as const;
      const artifact = await into.add(plan, packTar(packed.entries.map(tarEntry)));
      for (const [key, section] of Object.entries(sections)) inventory.setSection(key, section);
      inventory.setArtifact(artifact);
      await saved();
      const { size, sha256, parts } = artifact;
      return { name: artifact.name, size, sha256, parts };
    },
  };
}

/** Bytes. A larger archive cannot be a configuration. */
const LIMIT = 64 * 1024 * 1024;

/** Unpacks the archive: every file by its name. Throws `bundle-damaged`. */
export async function unpackConfig(archive: Bytes): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  let total = 0;
  for await (const { name, kind, content } of unpackTar(archive)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) {
      total += chunk.length;
      if (total > LIMIT) throw damaged("holds more than a configuration can");
      chunks.push(chunk);
    }
    if (kind === "folder") continue;
    if (kind !== "file") throw damaged(`holds ${JSON.stringify(name)}, which is not a regular file`);
    if (found.has(name)) throw damaged(`holds ${JSON.stringify(name)} twice`);
    found.set(name, Buffer.concat(chunks));
  }
  return found;
}

const damaged = (why: string) =>
  new MigrationError("bundle-damaged", `the configuration archive ${why}`, {
    hint: "ask the person who made the bundle",
  });

const tarEntry = ({ name, mode, mtimeMs, content }: PackedFile): TarEntry => ({
  name,
  mode,
  mtimeMs,
  size: content.length,
  content: () => Readable.from([content]),
});
