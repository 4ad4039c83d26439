import { join } from "node:path";
import { MigrationError } from "../errors.ts";
import { Digester } from "../pipeline/digest.ts";
import type { Finding } from "../report/finding.ts";
import type { Files } from "../system/files/files.ts";
import type { Inventory } from "./inventory.ts";
import { CHECKSUMS, OPENING } from "./layout.ts";
import type { Bundle } from "./reader.ts";
import { describeKind } from "./verify.ts";

/**
 * Verifies SHA256SUMS and OPENING.txt, on which a person relies who opens the bundle with standard programs. With the
 * inventory, OPENING.txt is compared with what the export wrote; bundles of earlier versions do not record that.
 */
export async function verifyForOpeningByHand(
  bundle: Bundle,
  files: Files,
  inventory: Inventory | undefined,
): Promise<Finding[]> {
  const opening = await readText(bundle, OPENING, files);
  const checksums = await readText(bundle, CHECKSUMS, files);
  const found = [opening, checksums].flatMap((read) => ("finding" in read ? [read.finding] : []));
  if ("text" in checksums) found.push(...verifyChecksums(bundle, checksums.text, opening));
  const stated = inventory?.stated?.opening;
  if ("text" in opening && stated !== undefined && stated !== opening.sha256)
    found.push(
      altered(join(bundle.folder, OPENING), "is not what the export wrote, so do not run its commands"),
    );
  if (found.length > 0) return found;
  return [{ id: "by-hand", level: "ok", sentence: `${CHECKSUMS} and ${OPENING} match the bundle` }];
}

type Read = { readonly text: string; readonly sha256: string } | { readonly finding: Finding };

/** Bytes: far more than the lines of a bundle with very many parts. */
const LIMIT = 64 * 1024 * 1024;

async function readText({ folder }: Bundle, name: string, files: Files): Promise<Read> {
  const path = join(folder, name);
  const entry = await files.lstat(path);
  if (entry === undefined)
    return {
      finding: {
        id: "by-hand",
        level: "warning",
        sentence: `${path} is missing; whoever opens the bundle without synlift needs it`,
        hint: "copy it again from the host that made the bundle; synlift itself does not need it",
      },
    };
  if (entry.kind !== "file") return { finding: altered(path, `is ${describeKind(entry.kind)}, not a file`) };
  try {
    const bytes = await files.readWhole(path, LIMIT);
    const digester = new Digester();
    digester.add(bytes);
    return { text: new TextDecoder().decode(bytes), sha256: digester.result().sha256 };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { finding: altered(path, `cannot be read: ${error.message}`) };
  }
}

function verifyChecksums({ folder, manifest }: Bundle, text: string, opening: Read): Finding[] {
  const path = join(folder, CHECKSUMS);
  const lines = text.split("\n").filter((line) => line !== "");
  const listed = new Map<string, string>();
  for (const line of lines) {
    // As sha256sum writes it: an asterisk stands for a file read in binary mode.
    const [, hash, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (hash === undefined || name === undefined || listed.has(name))
      return [altered(path, "has a line that the export did not write")];
    listed.set(name, hash);
  }
  const parts = [...manifest.artifacts.flatMap((artifact) => artifact.parts), manifest.inventory];
  const expected = new Map(parts.map(({ name, sha256 }) => [name, sha256]));
  if ("sha256" in opening) expected.set(OPENING, opening.sha256);
  const absent = [...expected.keys()].filter((name) => !listed.has(name));
  const differing = [...expected].filter(([name, hash]) => listed.has(name) && listed.get(name) !== hash);
  const unknown = [...listed.keys()].filter((name) => !expected.has(name) && name !== OPENING);
  return [
    ...some(absent, `${path} does not list all files of the bundle, so "sha256sum -c" does not check them`),
    ...some(
      differing.map(([name]) => name),
      `${path} lists other hashes than ${differing.some(([name]) => name !== OPENING) ? "the manifest" : "the file has"}`,
    ),
    ...some(unknown, `${path} lists files that are not part of the bundle`),
  ];
}

const SHOWN = 20;

const some = (names: readonly string[], sentence: string): Finding[] =>
  names.length === 0 ? [] : [{ ...altered("", sentence), sentence, evidence: names.slice(0, SHOWN) }];

const altered = (path: string, what: string): Finding => ({
  id: "by-hand",
  level: "blocker",
  sentence: `${path} ${what}`,
  hint: "copy the file again from the host that made the bundle, and do not open the bundle by hand before",
});
