import { MigrationError } from "../../errors.ts";

/** Runs a file operation; an error that a user can act on becomes a `MigrationError` that names the path. */
export async function withFileErrors<T>(verb: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw toFileError(error, verb, path);
  }
}

/** For a program of coreutils that could not be started: its ENOENT is not that of the file it was to work on. */
export function withoutCoreutils(error: unknown): unknown {
  const { code, syscall, path: program } = error as NodeJS.ErrnoException;
  if (code !== "ENOENT" || syscall?.startsWith("spawn") !== true) return error;
  return new MigrationError("program-missing", `${program ?? "a program"} is not installed`, {
    hint: "it belongs to the package coreutils",
    cause: error,
  });
}

export const errnoOf = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code;

/** For what is made in the folder for temporary files, such as "a pipe": another folder may do. */
export function toTemporaryError(error: unknown, what: string, temporary: string): MigrationError {
  if (error instanceof MigrationError) return error;
  const known = toFileError(error, `create ${what} in`, temporary);
  const { code, message } =
    known instanceof MigrationError
      ? known
      : {
          code: "file-failed" as const,
          message: `cannot create ${what} in ${temporary}: ${(error as Error).message.trim()}`,
        };
  return new MigrationError(code, message, {
    hint: `${code === "disk-full" ? "free some space there, or set" : "set"} another folder for temporary files: TMPDIR=/var/tmp`,
    cause: error,
  });
}

export function toFileError(error: unknown, verb: string, path: string): unknown {
  if (error instanceof MigrationError) return error;
  const more = { cause: error };
  switch (errnoOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return new MigrationError("file-missing", `cannot ${verb} ${path}: no such file or directory`, more);
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new MigrationError("disk-full", `cannot ${verb} ${path}: no space left`, {
        hint: "free some space there, then run the same command again: completed work is kept",
        ...more,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new MigrationError("permission-denied", `cannot ${verb} ${path}: permission denied`, {
        hint: "run synlift as a user with permission, usually root",
        ...more,
      });
    case "ELOOP":
      return new MigrationError("file-failed", `cannot ${verb} ${path}: too many levels of symbolic links`, {
        hint: "correct the symbolic link",
        ...more,
      });
    case undefined:
      return error;
    default:
      return new MigrationError("file-failed", `cannot ${verb} ${path}: ${(error as Error).message}`, more);
  }
}
