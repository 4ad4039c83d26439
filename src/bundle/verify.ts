import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Digester, reportBytes } from "../pipeline/digest.ts";
import type { EncryptionKeys } from "../pipeline/encrypt.ts";
import { drain } from "../pipeline/transform.ts";
import type { Finding } from "../report/finding.ts";
import type { Entry, Files } from "../system/files/files.ts";
import type { Progress } from "../system/progress.ts";
import type { Inventory } from "./inventory.ts";
import { isFileOfArtifact } from "./layout.ts";
import type { Artifact, Part } from "./manifest.ts";
import type { Bundle } from "./reader.ts";

/** Verifies that every part exists and is intact. Reads all of them; needs no key. */
export async function verifyParts(bundle: Bundle, files: Files, progress: Progress): Promise<Finding[]> {
  const { folder, manifest } = bundle;
  const { artifacts, inventory } = manifest;
  const found: Finding[] = [];
  const id = "check/parts";
  progress.begin({
    id,
    label: "sizes and hashes",
    unit: "bytes",
    total: artifacts.reduce((sum, { size }) => sum + size, inventory.size),
  });
  const tell = (bytes: number) => {
    progress.advance(id, bytes);
  };
  for (const artifact of artifacts) {
    const whole = new Digester();
    const faults: Finding[] = [];
    for (const part of artifact.parts) faults.push(...(await verifyPart(folder, part, files, tell, whole)));
    if (faults.length === 0 && whole.result().sha256 !== artifact.sha256) {
      faults.push(
        damage(
          "artifact-hash",
          `${artifact.name}: its parts are intact, but together they do not match the hash in the manifest`,
        ),
      );
    }
    found.push(...(faults.length > 0 ? faults : [fine(artifact)]));
  }
  found.push(...(await verifyPart(folder, inventory, files, tell)));
  found.push(...(await strayParts(bundle, files)));
  progress.end(id);
  return found;
}

/** Verifies that the manifest, which is not encrypted, matches the encrypted inventory. */
export function verifyManifest({ manifest }: Bundle, inventory: Inventory): Finding[] {
  const say = (list: readonly Artifact[]) =>
    JSON.stringify(
      [...list]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, format, size, sha256, parts }) => [
          name,
          format,
          size,
          sha256,
          parts.map((part) => [part.name, part.size, part.sha256]),
        ]),
    );
  if (say(manifest.artifacts) !== say(inventory.artifacts)) {
    return [
      damage(
        "manifest-mismatch",
        "the manifest and the encrypted inventory list different artifacts or hashes",
      ),
    ];
  }
  const { subject, outageSince, created, sealed, rehearsal, recipients } = manifest;
  const stated: Record<string, unknown> = {
    ...inventory.stated,
    created: inventory.created,
    rehearsal: inventory.rehearsal,
  };
  const differing = Object.entries({ subject, outageSince, created, sealed, rehearsal, recipients })
    .filter(([name, value]) => JSON.stringify(stated[name]) !== JSON.stringify(value))
    .map(([name]) => name);
  if (differing.length > 0) {
    return [
      damage(
        "manifest-mismatch",
        `the manifest and the encrypted inventory differ on ${differing.join(", ")}`,
      ),
    ];
  }
  return [{ id: "manifest", level: "ok", sentence: "the manifest matches the encrypted inventory" }];
}

/**
 * Decrypts and decompresses every artifact and compares the content with what was packed. Writes nothing. Skips those
 * in `elsewhere`, which the caller verifies itself.
 */
export async function verifyContents(
  bundle: Bundle,
  inventory: Inventory,
  lock: EncryptionKeys,
  progress: Progress,
  elsewhere: ReadonlySet<string> = new Set(),
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const artifact of bundle.manifest.artifacts) {
    if (elsewhere.has(artifact.name)) continue;
    const recorded = inventory.artifacts.find(({ name }) => name === artifact.name);
    const id = `check/${artifact.name}`;
    progress.begin({
      id,
      label: artifact.name,
      unit: "bytes",
      ...(recorded ? { total: recorded.plain.size } : {}),
    });
    const tell = reportBytes((bytes) => {
      progress.advance(id, bytes);
    });
    try {
      await drain(tell(bundle.decrypted(artifact, lock, recorded?.plain)));
      found.push({
        id: "contents",
        level: "ok",
        sentence: `${artifact.name} can be decrypted, and its content is what was packed`,
      });
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "bundle-damaged") throw error;
      found.push(damage("contents", error.message));
    }
    progress.end(id);
  }
  return found;
}

/** Throws `bundle-damaged` with the first blocker, if there is one. */
export function assertUndamaged(findings: readonly Finding[]): void {
  const blockers = findings.filter(({ level }) => level === "blocker");
  const [first] = blockers;
  if (!first) return;
  const more = blockers.length > 1 ? ` (and ${blockers.length - 1} more)` : "";
  throw new MigrationError("bundle-damaged", `${first.sentence}${more}`, { hint: first.hint });
}

async function verifyPart(
  folder: string,
  part: Part,
  files: Files,
  tell: (bytes: number) => void,
  whole?: Digester,
): Promise<Finding[]> {
  const path = join(folder, part.name);
  const entry = await files.lstat(path);
  if (entry === undefined) return [damage("part-missing", `${path} is missing`)];
  if (entry.kind !== "file")
    return [damage("part-kind", `${path} is ${describeKind(entry.kind)}, not a file of the bundle`)];
  if (entry.size !== part.size)
    return [
      damage("part-size", `${path} has ${entry.size} bytes, but ${part.size} according to the manifest`),
    ];
  const tally = new Digester();
  for await (const chunk of files.read(path)) {
    tally.add(chunk);
    whole?.add(chunk);
    tell(chunk.length);
  }
  const same = tally.result().sha256 === part.sha256;
  return same ? [] : [damage("part-hash", `${path} is damaged: its hash does not match the manifest`)];
}

/** What stands where a file should be. */
export function describeKind(kind: Exclude<Entry["kind"], "file">): string {
  switch (kind) {
    case "folder":
      return "a directory";
    case "link":
      return "a symbolic link";
    case "other":
      return "a pipe, socket or device";
  }
}

/** `cat NAME.part-*` takes every matching file, so an extra one would corrupt an artifact that is joined by hand. */
async function strayParts({ folder, manifest }: Bundle, files: Files): Promise<Finding[]> {
  const known = new Set(manifest.artifacts.flatMap(({ parts }) => parts.map(({ name }) => name)));
  const stray = (await files.list(folder)).filter(
    (name) =>
      !known.has(name) && manifest.artifacts.some((artifact) => isFileOfArtifact(artifact.name, name)),
  );
  return stray.map((name) => ({
    id: "part-unexpected",
    level: "warning",
    sentence: `${join(folder, name)} is named like a part of this bundle, but is not one`,
    hint: "remove it before the parts are joined by hand",
  }));
}

const damage = (id: string, sentence: string): Finding => ({
  id,
  level: "blocker",
  sentence,
  hint: "copy the file again from the host that made the bundle; if it is damaged there too, run the export again",
});

const fine = (artifact: Artifact): Finding => ({
  id: "artifact",
  level: "ok",
  sentence: `${artifact.name} is complete and intact, ${artifact.parts.length === 1 ? "in one part" : `in ${artifact.parts.length} parts`}`,
});
