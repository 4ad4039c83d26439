import { join } from "node:path";
import { MigrationError, tryRead } from "../../../errors.ts";
import type { Machine } from "../../../system/machine.ts";
import type { System } from "../../../system/system.ts";
import type { StandbyServer } from "./standby.ts";

type Place = Pick<StandbyServer, "port" | "socketFolder">;

/** Where Synapse reaches it; the server itself would be content with one of the two. */
const ADDRESSES = ["127.0.0.1", "::1"];

/** Why a PostgreSQL cannot be started there, as a clause; undefined when it can. Tries it, and changes nothing. */
export async function portFault(
  { port, socketFolder }: Place,
  { files, machine }: Pick<System, "files" | "machine">,
): Promise<string | undefined> {
  for (const address of ADDRESSES) {
    const fault = await machine.tryToListen({ address, port });
    if (fault === "in-use") return `port ${port} of this host is in use${byWhom(port, machine)}`;
    if (fault === "not-permitted") return `port ${port} may not be used by this account`;
  }
  const path = join(socketFolder, `.s.PGSQL.${port}`);
  if ((await machine.tryToListen({ path })) !== undefined) return `a server answers at ${path}`;
  // Its first line is the process of a server; a number with a minus sign is one that is no postmaster (PostgreSQL, miscinit.c).
  const lock = (await files.lstat(`${path}.lock`)) && (await tryRead(() => files.readText(`${path}.lock`)));
  const pid = Math.abs(Number(lock?.split("\n")[0]));
  if (pid > 0 && machine.processStart(pid) !== undefined)
    return `${path}.lock belongs to process ${pid}, which runs`;
  return undefined;
}

const byWhom = (port: number, machine: Machine): string => {
  const users = machine
    .usersOfPort(port)
    .map(({ pid, program }) => `${program || "a program"}, process ${pid}`);
  return users.length === 0 ? "" : ` by ${users.join(" and ")}`;
};

const FIRST_PORT = 5432;
const PORTS = 50;

/**
 * The port for a new server: the given one, or the first from PostgreSQL's own on that nothing uses, and that no other cluster of this host
 * would use if it were started. Throws `target-unsuitable`.
 */
export async function choosePort(
  given: number | undefined,
  socketFolder: string,
  system: Pick<System, "files" | "machine" | "programs">,
): Promise<number> {
  const clusters = await clusterPorts(system);
  if (given !== undefined) {
    const cluster = clusters.get(given);
    const fault =
      (await portFault({ port: given, socketFolder }, system)) ??
      (cluster === undefined ? undefined : `port ${given} is that of the PostgreSQL cluster ${cluster}`);
    if (fault === undefined) return given;
    throw new MigrationError("target-unsuitable", `--port ${given}: ${fault}`, {
      hint:
        cluster === undefined
          ? "give another port, or leave it out for the first that is free; nothing was changed"
          : `give another port, or leave it out for the first that is free; or, if nobody needs that cluster: pg_dropcluster --stop ${cluster.replace("/", " ")}`,
    });
  }
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS; port++)
    if (!clusters.has(port) && (await portFault({ port, socketFolder }, system)) === undefined) return port;
  throw new MigrationError("target-unsuitable", `all ports from ${FIRST_PORT} on are in use`, {
    hint: "give one with --port",
  });
}

/** The ports that Debian's clusters have, whether they run or not: pg_lsclusters(1). */
async function clusterPorts({ programs }: Pick<System, "programs">): Promise<ReadonlyMap<number, string>> {
  if ((await programs.find("pg_lsclusters")) === undefined) return new Map();
  const said = await tryRead(() => programs.run({ name: "pg_lsclusters", args: ["-h"], timeout: 30_000 }));
  return new Map(
    (said ?? "").split("\n").flatMap((line) => {
      const [major = "", name = "", port = ""] = line.split(/\s+/);
      return /^\d+$/.test(port) ? [[Number(port), `${major}/${name}`] as const] : [];
    }),
  );
}

/** For a copy that is about to be made: hours later it could not be started. Throws `target-unsuitable`. */
export async function assertPortFree(
  server: StandbyServer,
  system: Pick<System, "files" | "machine">,
): Promise<void> {
  const fault = await portFault(server, system);
  if (fault === undefined) return;
  throw new MigrationError("target-unsuitable", `${fault}, and the copy is to have it`, {
    hint: `end what uses it and run the same command again, or give the copy another port: synlift follow --port ${server.port + 1}`,
  });
}
