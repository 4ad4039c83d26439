import { z } from "zod";
import { MigrationError } from "../errors.ts";
import { addressOf } from "../homeserver/database/address.ts";
import { shellWords } from "../report/shell-word.ts";
import { parseConnection } from "../system/conninfo.ts";
import type { PostgresAddress } from "../system/postgres.ts";
import type { System } from "../system/system.ts";
import type { Option } from "./command.ts";

export const DATABASE_COMMAND: Option = {
  flags: "--database-command <command>",
  about: "runs psql and pg_dump where they reach the database, not here: 'docker exec -i postgres'",
};

export const databaseCommandSchema = { databaseCommand: z.string().transform(commandOf).optional() };

/** A database's address as typed; its password comes from a file, as everybody on the host can read what is typed. */
export async function typedDatabase(
  text: string,
  passwordFile: string | undefined,
  { files, machine }: System,
  option = "--database",
): Promise<PostgresAddress> {
  const { password, ...parameters } = parseConnection(text);
  if (password !== undefined) {
    throw new MigrationError(
      "bad-usage",
      `${option} holds a password, which every user of this host could read`,
      {
        hint: `leave it out there and put it into a file: ${option}-password-file`,
      },
    );
  }
  if (parameters["dbname"] === undefined)
    throw new MigrationError("bad-usage", `${option} names no database`, { hint: "add dbname=…" });
  const given =
    passwordFile === undefined ? undefined : (await files.readText(passwordFile)).replace(/\r?\n$/, "");
  return addressOf({
    user: machine.user,
    ...parameters,
    ...(given === undefined ? {} : { password: given }),
  });
}

/** "docker exec -i postgres", word by word; no shell reads it. Throws `bad-usage`. */
function commandOf(text: string): string[] {
  const words = shellWords(text);
  if (words && words.length > 0) return words;
  throw new MigrationError("bad-usage", `--database-command: ${text} is no command`, {
    hint: "write it as --database-command 'docker exec -i postgres'; no shell reads it, so variables and pipes mean nothing",
  });
}
