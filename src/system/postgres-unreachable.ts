import { MigrationError, type NoConnection } from "../errors.ts";
import { readinessCall, type PostgresAddress } from "./postgres-call.ts";
import type { Programs } from "./programs.ts";
import { shellWord } from "./shell-word.ts";

/** pg_isready(1), exit status. */
const READINESS: Partial<Record<number, NoConnection["server"]>> = {
  0: "refuses",
  1: "starting",
  2: "silent",
};

/** What becomes of connections to a server, once one could not be made. Never throws for a server. */
export async function readinessOf(to: PostgresAddress, programs: Programs): Promise<NoConnection["server"]> {
  try {
    const asked = await programs.open(readinessCall(to));
    for await (const _ of asked.output);
    const { code } = await asked.close();
    // A command that leads elsewhere has exit statuses of its own, and 1 is one of them mostly.
    if (code === null || (to.through && code === 1)) return "unknown";
    return READINESS[code] ?? "unknown";
  } catch (error) {
    if (error instanceof MigrationError) return "unknown";
    throw error;
  }
}

/** The name of the database, where the address tells it; libpq takes the user's for one that has none. */
export const databaseNameIn = ({ parameters: { dbname, user, service } }: PostgresAddress) =>
  dbname ?? (service === undefined ? user : undefined);

/** Whether a server is asked by a socket of this host, as far as the address tells: there it may go by who asks. */
export const isLocalSocket = ({ parameters: { host, hostaddr }, through }: PostgresAddress) =>
  through === undefined && (host === undefined ? hostaddr === undefined : /^[/@]/.test(host));

/** Whose address it is depends on the command. */
const WHERE = "in the settings that name the database, or in --database and its password file for a new one";

/** What to do, for people. libpq tells only in words why there is no connection, and they are the server's. */
export function hintFor({ server, database }: NoConnection, to: PostgresAddress): string {
  const { through, password } = to;
  if (database === "missing") return `check the names of database and user, ${WHERE}`;
  if (server === "starting") return "wait until the server has started, and run the same command again";
  if (server === "refuses") {
    const check = `check user and password, ${WHERE}; and that the server's pg_hba.conf lets this user in from here`;
    if (through)
      return `the server answers, but refuses: let the command enter as the account that the database knows (docker exec -i -u postgres …); or ${check}`;
    if (!isLocalSocket(to)) return `the server answers, but refuses: ${check}`;
    const peer =
      "run synlift as root, or as the account that the database knows; where this host has no account of that name, use a password over TCP";
    return `the server answers, but refuses: ${password === undefined ? `${peer}; or ${check}` : `${check}; or, where it goes by the account that asks, ${peer}`}`;
  }
  if (through)
    return `see that this works, and hands on its standard input (docker exec needs -i): echo 'SELECT 1' | ${through.map(shellWord).join(" ")} psql …`;
  return `check host and port, ${WHERE}; and that the server runs`;
}
