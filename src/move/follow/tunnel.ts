import { join } from "node:path";
import { MigrationError, reasonOf } from "../../errors.ts";
import type { Account } from "../../system/machine.ts";
import type { PostgresAddress, PostgresSession } from "../../system/postgres/postgres.ts";
import type { ExitStatus } from "../../system/programs/programs.ts";
import { type StartedPeer, startPeer } from "../../system/programs/peer.ts";
import {
  connectionFailure,
  type ForwardTarget,
  parseSshAddress,
  sshForwardCall,
} from "../../system/programs/ssh.ts";
import type { System } from "../../system/system.ts";
import { CopyLost, endedThere } from "./ended.ts";
import { type FollowState, passwordFilePath } from "./state.ts";

/** A way to the old PostgreSQL, through ssh, to a socket of this host. */
export interface Tunnel {
  /** Resolves with the reason when it has ended by itself; never rejects. */
  readonly ended: Promise<MigrationError>;
  /** Whether it has. */
  readonly isOver: boolean;
  /** May be called twice. */
  close(): Promise<void>;
}

type Tunnelled = Pick<FollowState, "id" | "old" | "tunnel">;

/** Milliseconds until a connection that ssh has begun counts as failed; ssh itself gives up earlier. */
const OPEN_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

/** Beside the socket, for the account of the server here that connects through it. */
const PASSWORD_FILE = "passfile";

/** Where the socket of a tunnel will be. It is short, as a socket's path may have 107 bytes. */
export const tunnelFolder = (id: string, { isRoot, temporary }: System["machine"]) =>
  join(isRoot ? "/run" : temporary, `synlift-${id.slice(0, 8)}`);

const socketOf = ({ old, tunnel }: Tunnelled) => join(tunnel.folder, `.s.PGSQL.${old.postgres.port}`);

/**
 * Opens the way. Only this process's account and `account`, that of the server on this host, can enter the folder of the socket; the
 * password file beside it belongs to `account`. What a killed run has left running is ended. The caller closes it. Throws
 * `connection-failed`, `program-missing`.
 */
export async function openTunnel(
  state: Tunnelled,
  configDir: string,
  account: Account | undefined,
  system: System,
): Promise<Tunnel> {
  const { files, machine, programs, signal } = system;
  const address = parseSshAddress(state.old.address);
  if (!address) throw new MigrationError("bad-usage", `${state.old.address} is not the address of a host`);
  await endLeftBehind(state, system);
  await prepareFolder(state, configDir, account, system);
  const socket = socketOf(state);
  await files.remove(socket);
  const target: ForwardTarget = state.old.postgres.host.startsWith("/")
    ? { socket: join(state.old.postgres.host, `.s.PGSQL.${state.old.postgres.port}`) }
    : state.old.postgres;
  const peer = await startPeer(
    sshForwardCall(address, socket, target, { configFile: state.old.sshConfig }),
    programs,
  );
  const ended = endingOf(peer, address.host);
  const way = { isOver: false };
  void ended.then(() => (way.isOver = true));
  const close = async () => {
    peer.kill();
    await ended;
    // Without the way, the password has nothing to open: it does not lie around.
    await removeFolder(state.tunnel.folder, socket, files);
  };
  try {
    for (const until = machine.elapsed() + OPEN_TIMEOUT_MS; !(await files.lstat(socket));) {
      if (way.isOver) throw await ended;
      if (machine.elapsed() > until)
        throw new MigrationError(
          "connection-failed",
          `ssh to ${address.host} has not opened the way to PostgreSQL there`,
          {
            hint: "the other host's SSH server may forbid it: AllowTcpForwarding and AllowStreamLocalForwarding in its sshd_config",
          },
        );
      await machine.wait(POLL_MS, signal);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    ended,
    close,
    get isOver() {
      return way.isOver;
    },
  };
}

async function prepareFolder(
  { tunnel: { folder } }: Tunnelled,
  configDir: string,
  account: Account | undefined,
  { files, machine }: System,
): Promise<void> {
  await files.makeFolder(folder);
  const found = await files.lstat(folder);
  // In a folder where everybody may make folders, this one could be another account's.
  if (found?.kind !== "folder" || found.uid !== (machine.isRoot ? 0 : found.uid))
    throw new MigrationError("permission-denied", `${folder} is not a folder of this account`, {
      hint: "remove it, then run the same command again",
    });
  const passwordFile = join(folder, PASSWORD_FILE);
  await files.writeAtomically(passwordFile, await files.readWhole(passwordFilePath(configDir)), 0o600);
  if (!account || !machine.isRoot) return;
  await files.setOwner(passwordFile, account.uid, account.gid);
  await files.setOwner(folder, 0, account.gid);
  // Set-group-ID: the socket gets the folder's group, and so that account can use it.
  await files.setMode(folder, 0o2750);
}

/** Ends an ssh that a killed run has left: its forwarding has this very socket, which no other program has. */
async function endLeftBehind(state: Tunnelled, { machine, programs }: System): Promise<void> {
  const socket = socketOf(state);
  for (const { pid, args } of machine.processes()) {
    if (!args.some((arg) => arg.startsWith(`${socket}:`))) continue;
    // It may end meanwhile.
    await programs.run({ name: "kill", args: ["-TERM", String(pid)] }).catch(() => undefined);
  }
}

async function endingOf(peer: StartedPeer, host: string): Promise<MigrationError> {
  const ending = await ended(peer);
  return connectionFailure(ending, `PostgreSQL on ${host}`);
}

/** `close` would close its input at once, which does not matter to an ssh that runs nothing. */
const ended = (peer: StartedPeer): Promise<ExitStatus> => peer.close();

/** A database of the old server through the tunnel, for programs of this process's account. */
export const oldDatabase = (
  { old, tunnel }: Tunnelled,
  configDir: string,
  dbname: string = old.database,
): PostgresAddress => ({
  parameters: {
    host: tunnel.folder,
    port: String(old.postgres.port),
    user: old.role,
    dbname,
    passfile: passwordFilePath(configDir),
  },
});

/** Milliseconds in which the old server has to answer. */
const ANSWER_MS = 30_000;

/**
 * A session on the old database. The caller closes it. Throws `connection-failed` when nobody answers at the other end of the tunnel,
 * and `follow-lost` when the copy is not let in any more, because it was ended on the old host.
 */
export async function connectToOld(
  state: FollowState,
  configDir: string,
  system: Pick<System, "postgres" | "programs" | "machine" | "signal">,
): Promise<PostgresSession> {
  try {
    return await system.postgres.connect(oldDatabase(state, configDir), { responseTimeout: ANSWER_MS });
  } catch (error) {
    const reason = reasonOf(error, "no-connection");
    const ended = reason?.server === "accepting" ? await endedThere(state, system) : undefined;
    if (ended) throw new CopyLost({ ...state, endedThere: ended });
    if (reason?.server !== "no-response") throw error;
    const { host, port } = state.old.postgres;
    throw new MigrationError(
      "connection-failed",
      `ssh reaches ${state.old.address}, but PostgreSQL does not answer there, at ${host} port ${port}`,
      {
        hint: "if it runs, the SSH server there forbids forwarding: see AllowTcpForwarding in its sshd_config (AllowStreamLocalForwarding for a socket), and restrictions in authorized_keys",
        cause: error,
      },
    );
  }
}

/** The same for a server on this host, without a database: libpq's keywords. */
export const oldServerForServer = ({ old, tunnel }: Tunnelled): Readonly<Record<string, string>> => ({
  host: tunnel.folder,
  port: String(old.postgres.port),
  user: old.role,
  passfile: join(tunnel.folder, PASSWORD_FILE),
});

/** Forgets the folder of the socket. Does nothing where it does not exist. */
export async function removeTunnelFolder(state: Tunnelled, system: System): Promise<void> {
  const { files } = system;
  await endLeftBehind(state, system);
  await removeFolder(state.tunnel.folder, socketOf(state), files);
}

async function removeFolder(folder: string, socket: string, files: System["files"]): Promise<void> {
  if (!(await files.lstat(folder))) return;
  await files.remove(socket);
  await files.remove(join(folder, PASSWORD_FILE));
  await files.removeEmptyFolder(folder);
}
