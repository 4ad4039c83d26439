import { resolve } from "node:path";
import { MigrationError } from "../errors.ts";
import { parseSshAddress } from "../system/programs/ssh.ts";
import type { System } from "../system/system.ts";
import { folderDestination } from "./folder-store.ts";
import { limitedTo, unlimited } from "./pace.ts";
import { rcloneDestination } from "./rclone-store.ts";
import type { Destination } from "./remote.ts";
import { type SftpAddress, sftpDestination } from "./sftp-store.ts";

export interface DestinationSettings {
  /** Bytes a second, of all transfers together. */
  readonly bandwidth: number | undefined;
  /** Files at a time. */
  readonly parallel: number;
  readonly sshConfig: string | undefined;
  readonly rcloneConfig: string | undefined;
}

/** Throws `bad-usage`. */
export function parseDestination(
  text: string,
  settings: DestinationSettings,
  system: Pick<System, "files" | "programs" | "machine">,
): Destination {
  const { bandwidth, parallel, sshConfig, rcloneConfig } = settings;
  const pace = bandwidth === undefined ? unlimited : limitedTo(bandwidth, system.machine);
  if (text.startsWith("rclone:")) {
    const remote = rcloneRemoteOf(text);
    const share = bandwidth === undefined ? undefined : bandwidth / parallel;
    return rcloneDestination(remote, { configFile: rcloneConfig, bandwidth: share }, system);
  }
  if (/^(?:sftp|ssh):\/\//.test(text))
    return sftpDestination(sftpAddressOf(text), { configFile: sshConfig }, system, pace);
  // "host:path" is another host for scp and rsync, and a folder for nobody.
  if (/^[^/]*:/.test(text))
    throw new MigrationError("bad-usage", `${withoutPassword(text)} is no address of a bundle`, {
      hint: "write a folder, sftp://user@host/path, or rclone:REMOTE:PATH; a folder whose name contains a colon as ./NAME",
    });
  return folderDestination(resolve(system.machine.folder, text), system, pace);
}

/** "sftp://me@host:2222/srv/move"; "/~/move" is in the home of that account. */
function sftpAddressOf(text: string): SftpAddress {
  const found = /^(?:sftp|ssh):(\/\/[^/]*)\/(.+)$/s.exec(text);
  const address = found ? parseSshAddress(`ssh:${found[1]!}`) : undefined;
  if (found === null || address === undefined)
    throw new MigrationError("bad-usage", `${withoutPassword(text)} is no address of a folder on a host`, {
      hint: "write it as sftp://user@host:port/path, without a password: keys and agent of ssh are used; a path behind /~/ begins in the account's home",
    });
  const path = found[2]!;
  return { ...address, path: path.startsWith("~/") ? path.slice(2) : `/${path}` };
}

/** Only a remote that is configured: a connection string would put its secrets on the command line. */
function rcloneRemoteOf(text: string): string {
  const remote = text.slice("rclone:".length);
  if (/^\w[\w.+@ -]*:/.test(remote)) return remote;
  throw new MigrationError("bad-usage", `${withoutPassword(text)} does not name a remote of rclone`, {
    hint: "write it as rclone:REMOTE:PATH; rclone config makes a remote, rclone listremotes lists them",
  });
}

/** What was typed may contain a password between the scheme and the host. */
const withoutPassword = (text: string) =>
  text.replace(/:[^/@]*@/, ":…@").replace(/((?:pass|secret|key|token)\w*=)[^,:]*/gi, "$1…");
