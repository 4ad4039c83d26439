import { execFile, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { copyFolder, madeOnce } from "./made-once.ts";
import { type Account, freePort, type ServerCommand, ServerProcess } from "./server-process.ts";
import { removeFolder, temporaryFolder } from "./temporary-folder.ts";

export interface ClusterOptions {
  /** Lines of pg_hba.conf. Left out, everybody on this host may log in as anybody. */
  readonly access?: readonly string[];
  /** Further settings of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What the server says is in this language, as on a host whose system is; such as "de_DE". English when left out. */
  readonly language?: string;
  /** The server's major version; the newest of Debian's when left out. */
  readonly major?: number;
  /** A data folder that `keepData` made, with this major version; an empty one when left out. */
  readonly data?: string;
  /** The ICU locale by which its databases sort unless they say otherwise, such as "en-US"; the C library's C when left out. */
  readonly icuLocale?: string;
  /** The folder in which its own one is made; any when left out. */
  readonly within?: string;
}

export interface ClusterAddress {
  readonly host: string;
  readonly port: number;
  /** The folder of the unix socket: what libpq takes as a host. */
  readonly socketFolder: string;
  readonly superuser: string;
}

const ALL_MAY_LOG_IN = ["local all all trust", "host all all 127.0.0.1/32 trust"];

/** The lab's own way in, whatever the access lines of a test say about "postgres" and the rest. */
const LAB_ROLE = "lab";

/** A throw-away PostgreSQL on loopback and on a unix socket, quick since it need not survive a power cut. */
export class PostgresCluster {
  readonly address: ClusterAddress;
  /** Where psql, pg_dump and their like are, which need not be of the server's version. */
  readonly programs: string;
  readonly #folder: string;
  readonly #command: ServerCommand;
  #server: ServerProcess;

  private constructor(folder: string, programs: string, address: ClusterAddress, command: ServerCommand) {
    this.#folder = folder;
    this.programs = programs;
    this.address = address;
    this.#command = command;
    this.#server = new ServerProcess(command);
  }

  static async start({
    access = ALL_MAY_LOG_IN,
    settings = {},
    language,
    icuLocale,
    major,
    data: kept,
    within = process.env["LAB_DATABASES"],
  }: ClusterOptions = {}): Promise<PostgresCluster> {
    const programs = newestPrograms();
    const serverPrograms = major === undefined ? programs : programsOf(major);
    const account = unprivilegedAccount();
    const folder = temporaryFolder("pg", account, within);
    chmodSync(folder, 0o711);
    const data = join(folder, "data");
    await copyFolder(kept ?? (await emptyCluster(serverPrograms, account, icuLocale)), data);
    writeFileSync(join(data, "pg_hba.conf"), [`local all ${LAB_ROLE} trust`, ...access, ""].join("\n"));

    const port = await freePort();
    const address = { host: "127.0.0.1", port, socketFolder: folder, superuser: "postgres" };
    const spoken = language === undefined ? undefined : await makeLocale(language, folder);
    const parameters = {
      ...QUICK,
      ...(spoken && { lc_messages: spoken.name }),
      ...settings,
      listen_addresses: address.host,
      port: `${port}`,
      unix_socket_directories: folder,
    };
    const args = Object.entries(parameters).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    // SIGQUIT is its immediate shutdown: it takes its own children and shared memory along, which SIGKILL leaves behind.
    const command = {
      program: join(serverPrograms, "postgres"),
      args: ["-D", data, ...args],
      lastSignal: "SIGQUIT",
    } as const;
    const environment = spoken ? { LOCPATH: spoken.folder } : {};
    const all = { ...command, folder, account, environment };
    const cluster = new PostgresCluster(folder, programs, address, all);
    await cluster.#untilReady();
    if (kept === undefined)
      await cluster.sql("postgres", "create role postgres superuser createdb createrole replication login");
    return cluster;
  }

  /** Runs SQL as a superuser and hands back the rows as psql prints them: one per line, columns parted by tabs. */
  sql(database: string, text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const { socketFolder, port } = this.address;
      const login = ["-h", socketFolder, "-p", `${port}`, "-U", LAB_ROLE, "-d", database];
      const quiet = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"];
      const psql = spawn(join(this.programs, "psql"), [...quiet, ...login], {
        env: { PATH: process.env.PATH },
      });
      let rows = "";
      let words = "";
      psql.stdout.setEncoding("utf8").on("data", (text: string) => (rows += text));
      psql.stderr.setEncoding("utf8").on("data", (text: string) => (words += text));
      psql.on("error", reject);
      psql.on("close", (code) => {
        if (code === 0) resolve(rows.trimEnd());
        else reject(new Error(`psql on ${database}: ${words.trim()}`));
      });
      // It may end before it has read all; its exit code says why.
      psql.stdin.on("error", () => undefined);
      psql.stdin.end(text);
    });
  }

  /** A database as Synapse demands it, unless another locale is asked for. */
  async createDatabase(
    name: string,
    { owner, locale = "C" }: { owner?: string; locale?: string } = {},
  ): Promise<void> {
    const belongs = owner === undefined ? "" : `owner "${owner}"`;
    const letters = `encoding 'UTF8' lc_collate '${locale}' lc_ctype '${locale}'`;
    await this.sql("postgres", `create database "${name}" ${belongs} ${letters} template template0`);
  }

  async createRole(name: string, password: string): Promise<void> {
    await this.sql("postgres", `create role "${name}" login password '${password.replaceAll("'", "''")}'`);
  }

  /** Ends it at once, with all connections and without writing what goes away anyway, and removes its folder. May be called twice. */
  async stop(): Promise<void> {
    await this.#server.stop("SIGQUIT", 20);
    removeFolder(this.#folder);
  }

  /** Its data folder. */
  get dataFolder(): string {
    return join(this.#folder, "data");
  }

  /** Ends it as a power cut would, but for what the operating system has: it recovers at its next start. */
  async crash(): Promise<void> {
    await this.#server.stop("SIGQUIT", 20);
  }

  /** Starts it again, at the same port, after `crash`. */
  async startAgain(): Promise<void> {
    this.#server = new ServerProcess(this.#command);
    await this.#untilReady();
  }

  /** Ends it as `stop` does, but in order, and keeps its data in a folder that does not exist yet. */
  async keepData(folder: string): Promise<void> {
    // Its fast shutdown, with a checkpoint.
    await this.#server.stop("SIGINT", 60);
    await copyFolder(join(this.#folder, "data"), folder);
    removeFolder(this.#folder);
  }

  #untilReady(): Promise<void> {
    return this.#server.untilReady(() => this.#answers(), 180);
  }

  async #answers(): Promise<boolean> {
    const { socketFolder, port } = this.address;
    return run(join(this.programs, "pg_isready"), ["-q", "-h", socketFolder, "-p", `${port}`]).then(
      () => true,
      () => false,
    );
  }
}

const INITDB = [
  ...["--username", LAB_ROLE, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
];

/**
 * The data folder of a cluster that was never started, for copies: to copy it takes a fifth of the time of initdb. All copies
 * have one system identifier. Made once for each server program and account; what is there is whole.
 */
async function emptyCluster(
  programs: string,
  account: Account | undefined,
  icuLocale: string | undefined,
): Promise<string> {
  const { stdout: version } = await run(join(programs, "postgres"), ["--version"]);
  const options = [...INITDB, ...(icuLocale ? ["--locale-provider=icu", `--icu-locale=${icuLocale}`] : [])];
  const recipe = [version.trim(), programs, ...options, account?.uid ?? "as we are"];
  const made = await madeOnce("cluster", recipe, async (folder) => {
    if (account) chownSync(folder, account.uid, account.gid);
    const data = join(folder, "data");
    await run(join(programs, "initdb"), ["--pgdata", data, ...options], { cwd: folder, ...account });
  });
  return join(made, "data");
}

/**
 * A locale of its own, as few hosts that run tests have another than C. The C library looks for it in LOCPATH
 * (locale(7)); the server's words in that language come with Debian's package of the server.
 */
async function makeLocale(language: string, below: string): Promise<{ name: string; folder: string }> {
  const name = `${language}.UTF-8`;
  const folder = join(below, "locales");
  mkdirSync(folder);
  await run("localedef", ["--no-archive", "-i", language, "-f", "UTF-8", join(folder, name)]);
  return { name, folder };
}

const QUICK = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  // Without statistics, small queries look dear enough for it, and each would be compiled.
  jit: "off",
  // Begins each minute, so only where tests are slow: nothing may depend on whether it was there.
  autovacuum: "off",
  shared_buffers: "32MB",
  max_connections: "60",
  unix_socket_permissions: "0777",
};

const run = promisify(execFile);

/** Where Debian's packages have them. */
const ALL_PROGRAMS = "/usr/lib/postgresql";

/** Where the newest server's programs are; undefined where there is none. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(ALL_PROGRAMS) ? readdirSync(ALL_PROGRAMS) : [];
  const [newest] = versions
    .map((version) => join(ALL_PROGRAMS, version, "bin"))
    .filter((programs) => existsSync(join(programs, "initdb")))
    .sort((one, other) => majorIn(other) - majorIn(one));
  return newest;
}

const majorIn = (programs: string) => Number(programs.split("/").at(-2));

function newestPrograms(): string {
  const newest = postgresPrograms();
  if (newest === undefined)
    throw new Error(`no PostgreSQL server below ${ALL_PROGRAMS}: run "npm run setup"`);
  return newest;
}

/** Servers of other major versions, which the set-up brings where they can run; they come without psql and pg_dump. */
const SERVERS = fileURLToPath(new URL("../../../.lab/postgres", import.meta.url));

/** What the newest server calls itself, with its version. */
export const postgresVersion = () =>
  execFileSync(join(newestPrograms(), "postgres"), ["--version"], { encoding: "utf8" }).trim();

/** The major version of Debian's package. */
export const debianMajor = (): number => majorIn(newestPrograms());

/** All major versions that tests can run here, Debian's among them. */
export function serverMajors(): readonly number[] {
  const own = debianMajor();
  if (`${process.platform}-${process.arch}` !== "linux-x64") return [own];
  const file = join(SERVERS, "package.json");
  if (!existsSync(join(SERVERS, "complete")))
    throw new Error(`no servers of PostgreSQL in ${SERVERS}: run "npm run setup"`);
  const { dependencies } = JSON.parse(readFileSync(file, "utf8")) as { dependencies: Record<string, string> };
  const brought = Object.keys(dependencies).map((name) => Number(name.split("-").at(-1)));
  return [...new Set([...brought, own])].sort((one, other) => one - other);
}

/** By their real path: the account that runs them may not be able to enter the folder of a link. */
export function programsOf(major: number): string {
  const own = newestPrograms();
  if (majorIn(own) === major) return own;
  return realpathSync(join(SERVERS, "node_modules", `postgresql-${major}`, "native/bin"));
}

/** PostgreSQL refuses to run as root. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [, , uid, gid] = execFileSync("getent", ["passwd", "postgres"], { encoding: "utf8" }).split(":");
  return { uid: Number(uid), gid: Number(gid) };
}
