import { resolve } from "node:path";
import { MigrationError } from "../errors.ts";
import { parseSshAddress } from "../system/programs/ssh.ts";
import type { System } from "../system/system.ts";
import { folderDestination } from "./folder-store.ts";
import { readInvitation } from "./invitation.ts";
import { limitedTo, type Pace, unlimited } from "./pace.ts";
import { rcloneDestination } from "./rclone-store.ts";
import type { Destination } from "./remote.ts";
import { type SftpAddress, sftpDestination } from "./sftp-store.ts";
import { receiverDestination } from "./tus-store.ts";

export interface DestinationSettings {
  /** Bytes a second, of all transfers together. */
  readonly bandwidth: number | undefined;
  /** Files at a time. */
  readonly parallel: number;
  readonly sshConfig: string | undefined;
  readonly rcloneConfig: string | undefined;
  /** File of an invitation, for `synlift receive`; without it, its token is asked for. */
  readonly invitation: string | undefined;
  /** PEM file of further authorities, for HTTPS. */
  readonly authorities: string | undefined;
}

type Host = Pick<System, "files" | "programs" | "machine" | "http" | "streamLines" | "terminal">;

/** Throws `bad-usage`, and what reading an invitation throws. */
export async function parseDestination(
  text: string,
  settings: DestinationSettings,
  system: Host,
): Promise<Destination> {
  const { bandwidth, parallel, sshConfig, rcloneConfig } = settings;
  const pace = bandwidth === undefined ? unlimited : limitedTo(bandwidth, system.machine);
  if (text.startsWith("rclone:")) {
    const remote = rcloneRemoteOf(text);
    const share = bandwidth === undefined ? undefined : bandwidth / parallel;
    return rcloneDestination(remote, { configFile: rcloneConfig, bandwidth: share }, system);
  }
  if (/^(?:sftp|ssh):\/\//.test(text))
    return sftpDestination(sftpAddressOf(text), { configFile: sshConfig }, system, pace);
  if (/^https?:\/\//i.test(text)) return receiverOf(text, settings, system, pace);
  // "host:path" is another host for scp and rsync, and a folder for nobody.
  if (/^[^/]*:/.test(text))
    throw new MigrationError("bad-usage", `${withoutPassword(text)} is no address of a bundle`, {
      hint: "write a folder, sftp://user@host/path, https://host or rclone:REMOTE:PATH; a folder whose name contains a colon as ./NAME",
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

/** A `synlift receive`. The token goes to the address of its invitation only, and never in clear over a network. */
async function receiverOf(
  text: string,
  { invitation: path, authorities }: DestinationSettings,
  system: Host,
  pace: Pace,
): Promise<Destination> {
  const url = URL.parse(text);
  if (url === null || url.search + url.hash + url.username + url.password !== "")
    throw new MigrationError("bad-usage", `${withoutPassword(text)} is no address of synlift receive`, {
      hint: "write it as https://upload.example.org; the invitation is given with --invitation",
    });
  if (url.protocol === "http:" && !/^(?:127\.[\d.]+|\[::1\]|localhost)$/.test(url.hostname))
    throw new MigrationError(
      "bad-usage",
      `${url.origin} is not encrypted, so the invitation could be read on the way`,
      {
        hint: "use https://; http:// is for this host only",
      },
    );
  const address = `${url.origin}${url.pathname}`.replace(/\/+$/, "");
  const invitation = await readInvitation(path, system);
  const meant = invitation.url?.replace(/\/+$/, "");
  if (meant !== undefined && meant !== address)
    throw new MigrationError("bad-usage", `the invitation is for ${meant}, and not for ${address}`, {
      hint: "use the address in the invitation",
    });
  const trusted = authorities === undefined ? [] : [await system.files.readText(authorities)];
  return receiverDestination({ url: address, invitation, authorities: trusted }, system, pace);
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
