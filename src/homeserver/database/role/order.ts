import { MigrationError, tryRead } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import { secretLine } from "../../../system/files/secret-line.ts";
import type { Machine } from "../../../system/machine.ts";
import { isLocalSocket, type Postgres, type PostgresAddress } from "../../../system/postgres/postgres.ts";
import { withPermittedAccount } from "../address.ts";
import { readRoleState, type RoleOrder } from "./create.ts";
import { isPlainPassword } from "./scram.ts";

/** What Debian, PostgreSQL's container and initdb's documentation call the administrator. */
const ADMINISTRATOR = "postgres";

const THIS_HOST = ["localhost", "127.0.0.1", "::1"];

/** What is to be created. */
export interface RoleWish {
  /** The option that asks for it. */
  readonly by: "--create-role" | "--database";
  /** The option that names the database. */
  readonly option: string;
  /** As it was typed: without password. */
  readonly typed: PostgresAddress;
  /** Absolute. */
  readonly passwordFile: string | undefined;
  /** As `--admin-database` has it; undefined for the socket of this host. */
  readonly administrator: PostgresAddress | undefined;
  /** Accounts of this host that may connect as an existing role where root may not. */
  readonly accounts: readonly (string | undefined)[];
}

/** The password of each user that does not exist yet, and the file that it is for. */
export type GeneratedPasswords = Map<string, { readonly file: string; readonly password: string }>;

/**
 * Finds out how the administrator connects, and the password of the role: from its file or, when there is none, a random one that
 * is not written yet; `generated` keeps those. Changes nothing. Throws `bad-usage`, `database-unreachable`.
 */
export async function planRole(
  { by, option, typed, passwordFile, administrator, accounts }: RoleWish,
  generated: GeneratedPasswords,
  system: { postgres: Postgres; files: Files; machine: Machine },
): Promise<RoleOrder> {
  if (passwordFile === undefined)
    throw new MigrationError("bad-usage", `${by} needs ${option}-password-file`, {
      hint: "name a file, such as /root/db.password: if it does not exist, a random password is written to it",
    });
  const admin = await withPermittedAccount(
    administrator ?? localAdministrator(typed, by),
    [ADMINISTRATOR],
    system,
  );
  const { user, roleExists } = await readRoleState({ address: typed, administrator: admin }, system.postgres);
  const kept = await passwordIn(passwordFile, system.files);
  if (roleExists && kept === undefined)
    throw new MigrationError(
      "bad-usage",
      `role ${user} exists already, and there is no file ${passwordFile} with its password`,
      {
        hint: `write its password to that file: that of an existing role is never changed. If nothing uses the role: DROP ROLE, and run the same command again`,
      },
    );
  if (!roleExists && kept !== undefined && !isPlainPassword(kept))
    throw new MigrationError(
      "bad-usage",
      `the password in ${passwordFile} is empty, or has characters other than printable ASCII`,
      {
        hint: "remove the file, and a random password is written to it; or create the role yourself, with that password",
      },
    );
  const other = roleExists ? undefined : generated.get(user);
  if (other && other.file !== passwordFile)
    throw new MigrationError(
      "bad-usage",
      `user ${user} has one password, and it is to be in both ${other.file} and ${passwordFile}`,
      { hint: "name the same file with both options" },
    );
  const password = kept ?? other?.password ?? Buffer.from(system.machine.random(24)).toString("hex");
  generated.set(user, { file: passwordFile, password });
  const address = { ...typed, password };
  return {
    address: roleExists ? await withPermittedAccount(address, accounts, system) : address,
    passwordFile,
    administrator: admin,
  };
}

/** Whether the server has the user of an address, as its administrator says; undefined where that one cannot be asked from here. */
export const hasUser = (
  typed: PostgresAddress,
  system: { postgres: Postgres; machine: Machine },
): Promise<boolean | undefined> =>
  tryRead(async () => {
    const asked = localAdministrator(typed, "--create-role");
    const administrator = await withPermittedAccount(asked, [ADMINISTRATOR], system);
    return (await readRoleState({ address: typed, administrator }, system.postgres)).roleExists;
  });

/** The account `postgres` through the socket of this host, or as the command prefix runs it. Throws `bad-usage`. */
function localAdministrator(
  { parameters, commandPrefix }: PostgresAddress,
  by: RoleWish["by"],
): PostgresAddress {
  const { host, hostaddr, port } = parameters;
  const through = commandPrefix ? { commandPrefix } : {};
  const isSocket = isLocalSocket({ parameters });
  const place = host ?? hostaddr ?? "";
  if (!isSocket && !commandPrefix && !THIS_HOST.includes(place))
    throw new MigrationError("bad-usage", `${by}: PostgreSQL's administrator cannot be guessed on ${place}`, {
      hint: `name it: --admin-database 'host=${place} user=postgres dbname=postgres', and --admin-database-password-file`,
    });
  return {
    parameters: {
      ...(isSocket && host !== undefined ? { host } : {}),
      ...(port === undefined ? {} : { port }),
      user: ADMINISTRATOR,
      dbname: "postgres",
    },
    ...through,
  };
}

async function passwordIn(path: string, files: Files): Promise<string | undefined> {
  if (!(await files.stat(path))) return undefined;
  return secretLine(await files.readText(path));
}
