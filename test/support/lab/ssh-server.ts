import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { freePort, ServerProcess } from "./server-process.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** OpenSSH's own server, on loopback, for one key of this account. */
export interface SshServer {
  readonly port: number;
  /** "ssh://root@127.0.0.1:2222". */
  readonly address: string;
  /** For `ssh -F`: the client's key, and the server's. */
  readonly configFile: string;
  readonly folder: string;
  stop(): Promise<void>;
}

export interface SshServerOptions {
  /** Variables that what is started over it gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** The only thing that it starts: "internal-sftp" for a host without a shell. */
  readonly forceCommand?: string;
  /** Forbids to forward connections through it. */
  readonly noForwarding?: boolean;
}

const PROGRAM = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find((path) => existsSync(path));

export async function startSshServer({
  env = {},
  forceCommand,
  noForwarding = false,
}: SshServerOptions = {}): Promise<SshServer> {
  if (PROGRAM === undefined) throw new Error("sshd is not installed: apt-get install openssh-server");
  const folder = temporaryFolder("sshd");
  for (const name of ["host", "client"])
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  execFileSync("cp", [join(folder, "client.pub"), join(folder, "authorized_keys")]);
  const port = await freePort();
  const config = join(folder, "sshd_config");
  const setEnv = Object.entries(env).map(([name, value]) => `${name}="${value}"`);
  writeFileSync(
    config,
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${join(folder, "host")}`,
      `AuthorizedKeysFile ${join(folder, "authorized_keys")}`,
      `PidFile ${join(folder, "pid")}`,
      // The folder is below one that everybody may write to.
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin prohibit-password",
      "Subsystem sftp internal-sftp",
      ...(noForwarding ? ["AllowTcpForwarding no"] : []),
      ...(forceCommand === undefined ? [] : [`ForceCommand ${forceCommand}`]),
      ...(setEnv.length === 0 ? [] : [`SetEnv ${setEnv.join(" ")}`]),
      "",
    ].join("\n"),
  );
  const configFile = join(folder, "ssh_config");
  const hosts = join(folder, "known_hosts");
  const [type, key] = execFileSync("cat", [join(folder, "host.pub")], { encoding: "utf8" }).split(" ");
  writeFileSync(hosts, `[127.0.0.1]:${port} ${type!} ${key!}\n`);
  writeFileSync(
    configFile,
    [
      "Host *",
      `  IdentityFile ${join(folder, "client")}`,
      "  IdentitiesOnly yes",
      "  IdentityAgent none",
      `  UserKnownHostsFile ${hosts}`,
      "  GlobalKnownHostsFile /dev/null",
      // OpenSSH's first choice takes many times as long, and tests connect often.
      "  KexAlgorithms curve25519-sha256",
      "",
    ].join("\n"),
  );
  // As root it wants a folder of its own, which the package's service makes.
  if (process.getuid!() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const server = new ServerProcess({ program: PROGRAM, args: ["-D", "-e", "-f", config], folder });
  await server.untilReady(() => answersAt(port), 60);
  return {
    ...{ port, configFile, folder },
    address: `ssh://${userInfo().username}@127.0.0.1:${port}`,
    stop: () => server.stop("SIGTERM", 60),
  };
}

const answersAt = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
