import { join } from "node:path";
import { FENCE, FETCHED, JOURNAL, LOCK, MANIFEST, PROGRESS, REPORT, SENT } from "../../bundle/layout.ts";
import { MigrationError, tryRead } from "../../errors.ts";
import { isSingleExecutable } from "../../system/single-executable.ts";
import { askProgram } from "../../system/programs/ask.ts";
import type { System } from "../../system/system.ts";
import { NODE_VERSION, PROGRAM } from "../../system/version.ts";
import { recordFolder } from "../restore/record.ts";

/** A part of a report, as it is before anything is redacted. */
export interface Section {
  readonly title: string;
  readonly text: string;
}

/** What this host has and runs. */
export async function versionsSection(folders: readonly string[], system: System): Promise<Section> {
  const { machine, files, programs } = system;
  const release = /^PRETTY_NAME="?([^"\n]+)/m.exec(
    (await tryRead(() => files.readText("/etc/os-release"))) ?? "",
  )?.[1];
  const { total, available } = machine.memory();
  const lines = [
    `${PROGRAM}, ${isSingleExecutable() ? "one file" : "from a checkout or a package"}, with Node ${NODE_VERSION}`,
    `system: ${release ?? "unknown"}; ${(await versionOf("uname", ["-srm"], system)) ?? ""}`,
    `cores: ${machine.cores}; memory: ${mebibytes(available)} of ${mebibytes(total)} MiB available`,
    `runs as ${machine.isRoot ? "root" : "another account than root"}`,
  ];
  for (const folder of folders) {
    const space = await tryRead(() => files.diskSpace(folder));
    if (space)
      lines.push(
        `disk of ${folder}: ${mebibytes(space.free)} of ${mebibytes(space.total)} MiB free (${space.kind})`,
      );
  }
  for (const [name, ...args] of PROGRAMS) {
    const at = await programs.find(name!);
    lines.push(
      `${name!}: ${at === undefined ? "not found" : ((await versionOf(name!, args, system)) ?? "does not say its version")}`,
    );
  }
  return { title: "versions", text: `${lines.join("\n")}\n` };
}

const PROGRAMS: readonly string[][] = [
  ...["gpg", "psql", "pg_dump", "pg_restore", "tar", "gzip", "igzip", "rclone", "systemctl", "python3"].map(
    (name) => [name, "--version"],
  ),
  ["ssh", "-V"],
  ["docker", "--version"],
];

async function versionOf(
  name: string,
  args: readonly string[],
  { programs }: System,
): Promise<string | undefined> {
  const text = await tryRead(() => askProgram(name, args, programs));
  return text?.trim().split("\n")[0];
}

const mebibytes = (bytes: number) => Math.round(bytes / 1024 / 1024);

/** The records of synlift in both folders, and the reports as text. Files that do not exist are left out. */
export async function recordSections(
  bundleFolder: string,
  configFolder: string,
  system: System,
): Promise<Section[]> {
  const own = recordFolder(configFolder);
  const paths = [
    ...[MANIFEST, JOURNAL, FENCE, PROGRESS, SENT, FETCHED, LOCK, REPORT, "port.log"].map((name) =>
      join(bundleFolder, name),
    ),
    ...["restored.json", "journal.json", LOCK, "report.html", "port.log"].map((name) => join(own, name)),
  ];
  const found: Section[] = [];
  for (const path of paths) {
    const section = await fileSection(path, system);
    if (section) found.push(section);
  }
  const inFolder = (await tryRead(() => system.files.list(bundleFolder))) ?? [];
  if (inFolder.length > 0) {
    const lines: string[] = [];
    for (const name of inFolder) {
      const entry = await tryRead(() => system.files.lstat(join(bundleFolder, name)));
      if (entry)
        lines.push(
          `${entry.mode.toString(8)} ${new Date(entry.mtimeMs).toISOString()} ${entry.size} ${name} (${entry.kind})`,
        );
    }
    found.push({ title: `files in ${bundleFolder}`, text: `${lines.join("\n")}\n` });
  }
  return found;
}

/** The end of a text file, or of a page without its marks; undefined when there is none. */
export async function fileSection(path: string, { files }: System): Promise<Section | undefined> {
  const entry = await files.stat(path);
  if (entry?.kind !== "file") return undefined;
  try {
    const from = Math.max(0, entry.size - LONGEST);
    const chunks: Uint8Array[] = [];
    for await (const chunk of files.read(path, { from, to: entry.size })) chunks.push(Uint8Array.from(chunk));
    const text = Buffer.concat(chunks).toString();
    const shown = path.endsWith(".html") ? textOfPage(text) : text;
    const cut = from === 0 ? "" : `[its last ${LONGEST} of ${entry.size} bytes]\n`;
    return { title: path, text: `${cut}${shown.endsWith("\n") ? shown : `${shown}\n`}` };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { title: path, text: `cannot be read: ${error.message}\n` };
  }
}

/** Bytes of the end of each log. */
const LONGEST = 256 * 1024;
const JOURNAL_LINES = 300;

function textOfPage(html: string): string {
  return html
    .replace(/<(style|script|svg)\b[\s\S]*?<\/\1>/gi, "")
    .replace(/<\/(?:p|li|tr|h\d|div|section|td|th|dt|dd|pre)>|<br[^>]*>/gi, "\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => ENTITIES[name]!)
    .replace(/[ \t]+/g, " ")
    .replace(/\n\s*\n+/g, "\n")
    .trim();
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

/** What systemd has recorded of these units lately. */
export async function unitSections(units: readonly string[], { programs }: System): Promise<Section[]> {
  const found: Section[] = [];
  for (const unit of units) {
    const args = ["--unit", unit, `--lines=${JOURNAL_LINES}`, "--no-pager", "--quiet", "--output=short-iso"];
    const text = await tryRead(() => askProgram("journalctl", args, programs));
    if (text !== undefined && text.trim() !== "")
      found.push({ title: `journalctl --unit ${unit}`, text: text.endsWith("\n") ? text : `${text}\n` });
  }
  return found;
}
