import { basename, join } from "node:path";
import { tryRead } from "../../errors.ts";
import type { Files } from "../files/files.ts";
import { assignments, environmentOf, variables, withSpecifiers, withVariables, words } from "./unit-text.ts";

/** A systemd service as its files on this host describe it, drop-ins included. */
export interface Unit {
  /** "matrix-synapse.service"; for one of a template, with its instance. */
  readonly name: string;
  /** The unit file, then the drop-ins that add to it. */
  readonly files: readonly string[];
  /** Whether another unit wants or requires it, so that it starts at boot. */
  readonly isEnabled: boolean;
  /** The program and its arguments, variables and specifiers filled in. */
  readonly command: readonly string[];
  readonly account: string | undefined;
  /** As written, "~" included; without it a service starts in "/". */
  readonly workingFolder: string | undefined;
}

/** Where unit files are searched, highest precedence first. systemd.unit(5), "Unit File Load Path". */
const FOLDERS = [
  "/etc/systemd/system",
  "/run/systemd/system",
  "/usr/local/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/lib/systemd/system",
];

interface OnDisk {
  readonly path: string;
  readonly dropIns: readonly string[];
}

/**
 * The services whose files contain a word, with each enabled instance of a template. Masked ones and aliases are left out.
 * Changes nothing; unreadable files are skipped. `root` is where the host's "/" is.
 */
export async function findUnits(word: RegExp, files: Files, root: string): Promise<Unit[]> {
  const { units, dropIns, wanted } = await collect(files, root);
  const found: Unit[] = [];
  for (const [name, path] of units) {
    const instances = name.includes("@.")
      ? [...wanted].filter((one) => one.replace(/@.*(?=\.service$)/, "@") === name)
      : [name];
    for (const unit of instances) {
      // A drop-in for all instances of a template, or for one alone.
      const own = new Map([...(dropIns.get(name) ?? []), ...(dropIns.get(unit) ?? [])]);
      const onDisk = {
        path,
        dropIns: [...own].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, where]) => where),
      };
      const read = await readUnit(unit, onDisk, word, files, root);
      if (read) found.push({ ...read, isEnabled: wanted.has(unit) });
    }
  }
  return found;
}

async function collect(files: Files, root: string) {
  const units = new Map<string, string>();
  const dropIns = new Map<string, Map<string, string>>();
  const wanted = new Set<string>();
  for (const folder of FOLDERS.map((path) => join(root, path))) {
    for (const name of await listed(folder, files)) {
      const path = join(folder, name);
      if (name.endsWith(".service") && !units.has(name) && !(await isOtherName(path, files)))
        units.set(name, path);
      else if (name.endsWith(".service.d")) {
        const unit = name.slice(0, -2);
        const known = dropIns.get(unit) ?? new Map<string, string>();
        for (const one of await listed(path, files))
          if (one.endsWith(".conf") && !known.has(one)) known.set(one, join(path, one));
        dropIns.set(unit, known);
      } else if (/\.(?:wants|requires)$/.test(name)) {
        for (const one of await listed(path, files)) if (one.endsWith(".service")) wanted.add(one);
      }
    }
  }
  return { units, dropIns, wanted };
}

/** A link to a unit of another name is an alias. */
async function isOtherName(path: string, files: Files): Promise<boolean> {
  if ((await files.lstat(path))?.kind !== "link") return false;
  const real = await tryRead(() => files.real(path));
  return real !== undefined && real !== "/dev/null" && basename(real) !== basename(path);
}

async function readUnit(
  name: string,
  { path, dropIns }: OnDisk,
  word: RegExp,
  files: Files,
  root: string,
): Promise<Omit<Unit, "isEnabled"> | undefined> {
  // Masked: a link to /dev/null.
  if ((await files.stat(path))?.kind !== "file") return undefined;
  const texts: string[] = [];
  for (const one of [path, ...dropIns]) texts.push((await tryRead(() => files.readText(one))) ?? "");
  if (!texts.some((text) => word.test(text))) return undefined;
  const service = texts.flatMap((text) => assignments(text, "Service"));
  const all = (key: string) => service.filter(([one]) => one === key).map(([, value]) => value);
  const filled = (text: string | undefined) =>
    text === undefined || text === "" ? undefined : withSpecifiers(text, name);
  const commands = sinceReset(all("ExecStart"));
  const environment = variables(all("Environment").map((value) => withSpecifiers(value, name)));
  for (const value of sinceReset(all("EnvironmentFile"))) {
    const place = join(root, withSpecifiers(value.replace(/^-/, ""), name));
    Object.assign(environment, environmentOf((await tryRead(() => files.readText(place))) ?? ""));
  }
  const command = words(commands.at(-1) ?? "").map((one) => withSpecifiers(one, name));
  return {
    name,
    files: [path, ...dropIns],
    command: withVariables(withoutPrefixes(command), environment),
    account: filled(all("User").at(-1)),
    workingFolder: filled(all("WorkingDirectory").at(-1))?.replace(/^-/, ""),
  };
}

/** An empty assignment resets the values before it. */
const sinceReset = (values: readonly string[]) => values.slice(values.lastIndexOf("") + 1);

/** Removes the prefixes of a program that say how it is run; after "@" the next word is only its argv[0]. */
function withoutPrefixes([program = "", ...args]: readonly string[]): string[] {
  const marks = /^[@:+!|-]*/.exec(program)![0];
  return [program.slice(marks.length), ...(marks.includes("@") ? args.slice(1) : args)].filter(Boolean);
}

async function listed(folder: string, files: Files): Promise<string[]> {
  return (await tryRead(() => files.list(folder))) ?? [];
}
