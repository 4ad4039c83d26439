import type { Calendar } from "../../delegation/files/calendar.ts";
import { checkCommand, filesCommand, type KnownAddress } from "../../delegation/typed-commands.ts";
import type { Runbook, RunbookStep } from "../../report/page.ts";
import type { Estimate } from "../outage/estimate.ts";
import { formatDate } from "./dates.ts";
import {
  type CommandFacts,
  exportCommand,
  OPEN_COMMAND,
  prepareCommands,
  restoreCommand,
  sendCommand,
  showPassphrase,
  TAKE_PASSPHRASE,
  usersCommand,
} from "./shell-commands.ts";

export interface Times {
  /** Milliseconds since 1970, all of them. */
  readonly now: number;
  /** The cut-over. */
  readonly when: number;
  /** Whether --when gave it; otherwise it is the earliest safe time. */
  readonly named: boolean;
}

/** What is known about the address, in words. */
interface AddressChanges {
  /** Records that lead to the old host and must lead to the new one, a line each. */
  readonly toChange: readonly string[];
  /** Milliseconds since 1970. */
  readonly safeFrom: number;
  /** What to lower, and the dates of the change. */
  readonly calendar: Calendar;
  readonly clientUrl: string | undefined;
  /** As `m.server` names it; undefined when there is no such file. */
  readonly federation: string | undefined;
}

export interface MoveFacts extends CommandFacts, Times {
  readonly address: AddressChanges | undefined;
  readonly estimate: Estimate | undefined;
  /** Finding ids of the blockers that must be fixed before the move. */
  readonly blockers: readonly string[];
  /** Synapse's version at the source, where it is known. */
  readonly version: string | undefined;
  readonly atRisk: number;
  /** Whether no way to stop the server was found on the old host. */
  readonly stoppedByHand: boolean;
}

const HOUR = 3600_000;
const DAY = 24 * HOUR;

/** The steps of this move, in order, with commands to paste. */
export function agendaOf(move: MoveFacts): Runbook {
  const moments = [...before(move), ...outage(move), ...after(move)];
  return {
    title: "The move, step by step",
    note: move.named
      ? "Times are UTC. Run the commands as root; those of the outage inside tmux."
      : `Times are UTC, for the earliest safe cut-over; choose another with --when. Run the commands as root; those of the outage inside tmux.`,
    steps: moments,
  };
}

function before(move: MoveFacts): RunbookStep[] {
  const { now, when, named, blockers, sqlite, address, atRisk, version } = move;
  const moments: RunbookStep[] = [];
  if (blockers.length > 0) {
    moments.push({
      when: formatDate(now),
      title: "Fix the blockers",
      where: "on the old host",
      text: `The findings say how: ${blockers.join(", ")}. Then run plan again.`,
      tone: "now",
    });
  }
  if (address !== undefined && address.calendar.toLower.length > 0) {
    const { toLower, lowerBy } = address.calendar;
    moments.push({
      when: blockers.length > 0 ? "then" : formatDate(now),
      title: "Lower the TTLs",
      where: "where your DNS and web server are kept",
      text: `${toLower.join("; ")}. Cached old values expire by ${formatDate(address.safeFrom)}.${named ? ` For this cut-over, lower them at the latest on ${formatDate(lowerBy)}.` : ""}`,
      tone: "now",
    });
  }
  const known = address && knownAddress(move, address);
  if (known?.clientUrl !== undefined && known.federation !== undefined) {
    const { serverName, clientUrl, federation } = known;
    moments.push({
      title: "Prepare the change of the address",
      where: "on the old host",
      text: "This writes the well-known files with every key that is in them now, DNS records and a calendar. Put in the address of the new host, and the names of afterwards if they change.",
      commands: [
        filesCommand(
          { serverName, clientUrl, federation },
          {
            address: "ADDRESS_OF_NEW_HOST",
            when: new Date(when).toISOString().slice(0, 16).replace("T", " ") + " UTC",
          },
        ),
      ],
    });
  }
  moments.push({
    title: "Prepare the new host",
    where: "on the new host",
    text: `Install Synapse${version === undefined ? "" : ` ${version}, the version of the old host`}${sqlite ? "" : ", PostgreSQL"}, gpg and synlift. Stop and disable that Synapse, and make room for the old one's configuration:`,
    commands: [prepareCommands(move)],
  });
  moments.push({
    title: "Rehearse",
    where: "on the old host",
    text: "The server keeps running. A rehearsal measures how long each stage takes, and finds what would fail.",
    commands: ["tmux new -s rehearsal", exportCommand(move, true)],
  });
  moments.push({
    title: "Let the web server tell clients to wait",
    where: "on the old host",
    text: `Optional, with nginx, Caddy or Apache in front of Synapse. In nginx, for example, add one line to the server block of ${address?.clientUrl ?? "the homeserver"}, before its locations: include snippets/matrix-is-down*.conf; and reload it: nothing changes yet. Then add --maintenance nginx:/etc/nginx/snippets/matrix-is-down.conf to the export below: from the stop on, clients get 503 with Retry-After and keep their sessions. rollback takes it away.`,
  });
  moments.push({
    when: formatDate(Math.max(now, when - 7 * DAY)),
    title: atRisk > 0 ? "Tell people, and those at risk first" : "Tell people",
    where: "on the old host",
    text:
      atRisk > 0
        ? `${atRisk} ${atRisk === 1 ? "person would" : "people would"} lose encrypted messages if they had to sign in again. The move keeps their sessions; still, their key backup should work before it.`
        : "Tell them what happens and when, and not to reset their encryption keys.",
    commands: [usersCommand(move, formatDate(when), describeOutage(move))],
  });
  return moments;
}

/** The outage in words for the announcement, rounded up: a server that is back early is no problem. */
function describeOutage({ estimate }: MoveFacts): string {
  if (estimate === undefined) return "some hours";
  const minutes = Math.ceil(estimate.outageSeconds / 300) * 5;
  if (minutes < 60) return `about ${minutes} minutes`;
  const hours = Math.ceil(minutes / 30) / 2;
  return hours === 1 ? "about an hour" : `about ${hours} hours`;
}

function outage(move: MoveFacts): RunbookStep[] {
  const { when, stoppedByHand } = move;
  return [
    {
      when: formatDate(when),
      title: "Stop the old server permanently and export it",
      where: "on the old host",
      text: `Media is packed first, while the server still runs. Then the command lists what it will do and asks once; the outage starts there.${stoppedByHand ? " No way to stop it was found on this host: add --stop-command, or stop it and its workers yourself when asked." : ""} Until the new server is open, synlift rollback undoes everything.`,
      commands: ["tmux new -s move", exportCommand(move, false)],
      tone: "outage",
    },
    {
      title: "Send the bundle to the new host",
      where: "on the old host",
      text: "Each file is compared when it has arrived. Send the passphrase through another channel: the last command shows it.",
      commands: [sendCommand(move), showPassphrase(move)],
      tone: "outage",
    },
    {
      title: "Store the passphrase",
      where: "on the new host",
      text: "Run only this command, paste the passphrase that the old host showed, then press Enter and Ctrl-D.",
      commands: [TAKE_PASSPHRASE],
      tone: "outage",
    },
    {
      title: "Restore the bundle",
      where: "on the new host",
      text: `Also inside tmux.${move.sqlite ? "" : " The database, its user and a random password are created if they do not exist."} Every unit that reads this configuration is blocked until open, so neither a reboot nor a package starts the server.`,
      commands: [restoreCommand(move)],
      tone: "outage",
    },
    {
      title: "Verify the new server and open it",
      where: "on the new host",
      text: "Every gate is checked before the server starts. Up to this point synlift rollback on the old host undoes everything.",
      commands: [OPEN_COMMAND, "systemctl enable matrix-synapse"],
      tone: "no-return",
    },
  ];
}

function after(move: MoveFacts): RunbookStep[] {
  const { when, address } = move;
  const change = address?.toChange ?? [];
  const keepUntil = address?.calendar.keepUntil ?? when + 2 * DAY;
  return [
    {
      title: "Move the address",
      where: "where your DNS and web server are kept",
      text:
        change.length > 0
          ? `Point these to the new host: ${change.join("; ")}. Until the change has propagated, let the old host's web server proxy requests to the new one.`
          : "Point your domain's DNS records, proxy or well-known files to the new host.",
      tone: "outage",
    },
    ...(address
      ? [
          {
            title: "Check the address until nobody gets the old one",
            where: "on another host",
            text: "open prints this command with the signing key, which proves that it is the same server.",
            commands: [checkCommand({ ...knownAddress(move, address), keys: [] })],
          },
        ]
      : []),
    {
      when: formatDate(keepUntil),
      title: "Raise the TTLs again, and remove the forwarding on the old host",
      text: "Other servers may cache a well-known file for 48 hours: until then, the old address must still answer them.",
    },
    {
      when: formatDate(when + 14 * DAY),
      title: "Remove the bundle and its passphrase from both hosts",
      text: "When everything works and nothing is missing.",
    },
  ];
}

const knownAddress = (
  { homeserver: { serverName } }: MoveFacts,
  { clientUrl, federation }: AddressChanges,
): KnownAddress => ({ serverName, clientUrl, federation });
