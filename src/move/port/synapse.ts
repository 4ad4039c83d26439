import { join } from "node:path";
import { MigrationError, reasonOf } from "../../errors.ts";
import { parseVersion, type Version } from "../../homeserver/synapse-versions.ts";
import { installedSynapse, type InstalledQuery } from "../../homeserver/version/installed.ts";
import type { Account } from "../../system/machine.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { ProgramCall } from "../../system/programs/programs.ts";
import type { System } from "../../system/system.ts";
import { confirm } from "../confirm.ts";

/** A Synapse whose scripts can be run. */
export interface PortingSynapse {
  readonly python: string;
  /** The account that runs it; ours when undefined. */
  readonly account: Account | undefined;
  /** Where it may write. */
  readonly folder: string;
}

/** A call of one of its modules. The password is in the environment of this program alone, as libpq takes it. */
export function synapseCall(
  module: string,
  args: readonly string[],
  { python, account, folder }: PortingSynapse,
  address: PostgresAddress,
): ProgramCall {
  return {
    name: python,
    args: ["-m", module, ...args],
    folder,
    env: {
      PYTHONUNBUFFERED: "1",
      ...(address.password === undefined ? {} : { PGPASSWORD: address.password }),
    },
    ...(account ? { account } : {}),
  };
}

const SCRIPT = "synapse._scripts.synapse_port_db";

/** Whether this Python has the script and the driver for PostgreSQL, which an installation for SQLite may lack. */
async function missingModule(
  python: string,
  { programs }: Pick<System, "programs">,
): Promise<"synapse" | "psycopg2" | undefined> {
  for (const [name, statement] of [
    [
      "synapse",
      `import importlib.util as u, sys; sys.exit(0 if u.find_spec("synapse") and u.find_spec("${SCRIPT}") else 9)`,
    ],
    ["psycopg2", "import sys\ntry:\n  import psycopg2\nexcept ImportError:\n  sys.exit(9)"],
  ] as const) {
    try {
      await programs.run({ name: python, args: ["-c", statement], timeout: 60_000 });
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code === "program-missing") throw error;
      // A host that is too busy says nothing about what is installed.
      if (reasonOf(error, "timeout")) throw error;
      return name;
    }
  }
  return undefined;
}

const environmentIn = (folder: string, version: string) => join(folder, `synapse-${version}`);

/** The Synapse of that version in a virtual environment that an earlier run finished; undefined when there is none. */
async function findOwnSynapse(
  folder: string,
  version: string,
  { files }: Pick<System, "files">,
): Promise<string | undefined> {
  const made = environmentIn(folder, version);
  return (await files.stat(join(made, FINISHED))) ? join(made, "bin/python") : undefined;
}

/** Which index pip uses, and the way there: a host may reach only a mirror or a proxy. */
const OF_PIP = [
  "PIP_*",
  ...["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"],
];

/** Written last: half an environment never passes for a finished one. */
const FINISHED = "synlift-finished";

/**
 * Installs this version of Synapse in a virtual environment in `folder`, after asking unless `install` is given. Returns
 * its Python. Throws `program-missing` when the answer is no, or when it cannot be had.
 */
async function installSynapse(
  { folder, version, why, install }: { folder: string; version: string; why: string; install: boolean },
  system: System,
  progress: Progress,
): Promise<string> {
  const made = environmentIn(folder, version);
  const refused = new MigrationError("program-missing", why, {
    hint: `let synlift install Synapse ${version} with pip into ${made}: --install-synapse; or give the Python that has it: --synapse FOLDER`,
  });
  if (!install) {
    if (!system.terminal.interactive) throw refused;
    await confirm(
      {
        question: `${why}. Install Synapse ${version} with pip into ${made}?`,
        consequence: `Synapse ${version} would be installed into ${made}`,
        otherwise: refused,
      },
      system,
    );
  }
  progress.note(`installing Synapse ${version} into ${made}`);
  const python = join(made, "bin/python");
  try {
    await system.files.makeFolder(folder);
    await system.programs.run({ name: "python3", args: ["-m", "venv", "--clear", made] });
    await system.programs.run({
      name: python,
      args: [
        ...["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"],
        ...[`matrix-synapse==${version}`, "psycopg2-binary"],
      ],
      passEnvironment: OF_PIP,
    });
    // Nothing in it is secret, and the account that owns the database runs it.
    await system.programs.run({ name: "chmod", args: ["-R", "go+rX", made] });
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError(
      "program-missing",
      `Synapse ${version} could not be installed: ${error.message}`,
      {
        hint: "check the network, or install it yourself and give its Python: --synapse FOLDER",
        cause: error,
      },
    );
  }
  await system.files.writeAtomically(join(made, FINISHED), `${version}\n`);
  return python;
}

/** Which Synapse runs the scripts: that of the source's own version. */
export interface SynapseQuery extends InstalledQuery {
  /** Where one may be installed. */
  readonly folder: string;
  /** --install-synapse */
  readonly install: boolean;
  /** Install nothing; what is returned then does not exist yet. */
  readonly dryRun: boolean;
  /** The version of the source, where no installation tells it. */
  readonly version: string | undefined;
}

/**
 * The Python whose Synapse runs the scripts: of the installation that is found, or of a virtual environment that an
 * earlier run or this one made, after asking. Throws `program-missing`, and `bad-usage` when none was named and found.
 */
export async function findPortingSynapse(
  query: SynapseQuery,
  system: System,
  progress: Progress,
): Promise<{ readonly python: string; readonly version: string | undefined }> {
  const found = await installedSynapse(query, system);
  const version = plainVersion(found.version?.version ?? parseVersion(query.version ?? ""));
  const python =
    found.python ?? (found.launch?.map.length ? undefined : await system.programs.find("python3"));
  const missing = python === undefined ? "synapse" : await missingModule(python, system);
  if (python !== undefined && missing === undefined) return { python, version };
  const why =
    missing === "psycopg2"
      ? `the Synapse of ${python!} has no psycopg2, with which it connects to PostgreSQL`
      : "there is no Synapse on this host whose programs can be run";
  if (version === undefined)
    throw new MigrationError("program-missing", why, {
      hint: "give the Python or the virtual environment that has it: --synapse FOLDER",
    });
  const own = await findOwnSynapse(query.folder, version, system);
  const { folder, install, dryRun } = query;
  if (own === undefined && dryRun) {
    progress.note(`Synapse ${version} would be installed into ${environmentIn(folder, version)}`);
    return { python: join(environmentIn(folder, version), "bin/python"), version };
  }
  return {
    python: own ?? (await installSynapse({ folder, version, why, install }, system, progress)),
    version,
  };
}

/** As pip has it: "1.163.2", of "1.163.2-1" or "1.163.2+bookworm1". */
const plainVersion = (version: Version | undefined) =>
  version && /^\s*v?(?:\d+:)?(\d+\.\d+\.\d+(?:rc\d+)?)/.exec(version.text)?.[1];

/** As root, the account that owns a file: what Synapse's programs write must not belong to root. */
export async function accountOf(
  path: string,
  { address, system }: { address: PostgresAddress; system: Pick<System, "files" | "machine"> },
): Promise<Account | undefined> {
  const { files, machine } = system;
  if (!machine.isRoot) return undefined;
  if (address.account) return address.account;
  const owner = await files.stat(path);
  return owner === undefined || owner.uid === 0 ? undefined : machine.account(String(owner.uid));
}
