/** The Debian package of each program that synlift calls. */
const PACKAGES: Readonly<Record<string, string>> = {
  gpg: "gnupg",
  ssh: "openssh-client",
  pg_dump: "postgresql-client",
  pg_restore: "postgresql-client",
  psql: "postgresql-client",
  rclone: "rclone",
  sh: "dash",
};

/** A hint how to install a program. */
export function installHint(program: string): string {
  const name = program.split("/").at(-1)!;
  const found = PACKAGES[name];
  return found ? `install it: apt-get install ${found}` : `install ${name}, or give its path`;
}
