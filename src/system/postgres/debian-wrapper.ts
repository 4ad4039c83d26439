import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { isExecutable } from "../programs/executable.ts";
import type { Programs } from "../programs/programs.ts";

/** Where Debian keeps the programs of each major version. */
export const DEBIAN_VERSIONS = "/usr/lib/postgresql";

const WRAPPER = /\/postgresql-common\/pg_wrapper$/;

/**
 * What to call instead of Debian's wrapper (pg_wrapper(1), the psql and pg_dump in its PATH): the program itself, of the newest
 * version. The wrapper sets the port of this host's own cluster where the address names none, which Synapse's driver never sees; and it
 * is a Perl program, which takes longer to start than what it starts. Any other program keeps its name.
 */
export async function withoutWrapper(name: string, { find }: Pick<Programs, "find">): Promise<string> {
  const path = await find(name);
  if (path === undefined || !WRAPPER.test(await realpath(path).catch(() => path))) return name;
  const versions = (await readdir(DEBIAN_VERSIONS).catch(() => [])).map(Number).filter(Number.isInteger);
  for (const version of versions.sort((one, other) => other - one)) {
    const program = join(DEBIAN_VERSIONS, String(version), "bin", name);
    if (await isExecutable(program)) return program;
  }
  return name;
}
