import { MigrationError, type NoConnection } from "../../errors.ts";
import type { Programs } from "../programs/programs.ts";
import { quoteShellWord } from "../shell-quoting.ts";
import { type PostgresAddress, readinessCall } from "./call.ts";

/** pg_isready(1), exit status. */
const READINESS: Partial<Record<number, NoConnection["server"]>> = {
  0: "accepting",
  1: "starting",
  2: "no-response",
};

/** Whether the server accepts connections: for after a connection that failed. Throws nothing that a server could cause. */
export async function readinessOf(to: PostgresAddress, programs: Programs): Promise<NoConnection["server"]> {
  try {
    const asked = await programs.start(readinessCall(to));
    for await (const _ of asked.output);
    const { code } = await asked.close();
    // A command prefix has exit codes of its own, and 1 is often one of them.
    if (code === null || (to.commandPrefix && code === 1)) return "unknown";
    return READINESS[code] ?? "unknown";
  } catch (error) {
    if (error instanceof MigrationError) return "unknown";
    throw error;
  }
}

/** The name of the database, if the address contains it; libpq's default is the name of the user. */
export const databaseNameOf = ({ parameters: { dbname, user, service } }: PostgresAddress) =>
  dbname ?? (service === undefined ? user : undefined);

/** Whether the address is a Unix socket of this host, where the server can use peer authentication. */
export const isLocalSocket = ({ parameters: { host, hostaddr }, commandPrefix }: PostgresAddress) =>
  commandPrefix === undefined && (host === undefined ? hostaddr === undefined : /^[/@]/.test(host));

/** Which settings apply depends on the command. */
const SETTINGS_HINT = "in the database settings or, for a new database, in --database and its password file";

/** libpq gives the cause only as text, in the server's language; so the hint names every cause that remains. */
export function connectionHint({ server, database }: NoConnection, to: PostgresAddress): string {
  const { commandPrefix, password } = to;
  if (database === "missing") return `check the names of database and user, ${SETTINGS_HINT}`;
  if (server === "starting") return "wait until the server has started, and run the same command again";
  if (server === "accepting") {
    const check = `check user and password, ${SETTINGS_HINT}; and that the server's pg_hba.conf allows this host and user`;
    if (commandPrefix)
      return `the server is running, but rejects this connection: run the command as the account that the database expects (docker exec -i -u postgres …); or ${check}`;
    if (!isLocalSocket(to)) return `the server is running, but rejects this connection: ${check}`;
    const peer =
      "run synlift as root, or as the account that the database expects; if this host has no such account, use a password over TCP";
    return `the server is running, but rejects this connection: ${password === undefined ? `${peer}; or ${check}` : `${check}; or, with peer authentication, ${peer}`}`;
  }
  if (commandPrefix)
    return `check that this works and passes on standard input (docker exec needs -i): echo 'SELECT 1' | ${commandPrefix.map(quoteShellWord).join(" ")} psql …`;
  return `check host and port, ${SETTINGS_HINT}; and that the server is running`;
}
