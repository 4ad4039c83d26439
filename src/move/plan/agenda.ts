import type { Agenda, Moment } from "../../report/page.ts";
import type { Estimate } from "../outage/estimate.ts";
import { dateWords } from "./dates.ts";
import {
  carryCommand,
  exportCommand,
  type Names,
  OPEN_COMMAND,
  prepareCommands,
  restoreCommand,
  showPassphrase,
  TAKE_PASSPHRASE,
  usersCommand,
} from "./shell-commands.ts";

export interface Times {
  /** Milliseconds since 1970, all of them. */
  readonly now: number;
  /** The cut-over. */
  readonly when: number;
  /** Whether somebody named it, or it is the earliest that is safe. */
  readonly named: boolean;
}

/** What is known of the address, as plain words and numbers. */
export interface Address {
  /** What to lower before the move, a line each: "A matrix.example.org from 86400 to 300 seconds". */
  readonly toLower: readonly string[];
  /** Records that lead to the old host and must lead to the new one, a line each. */
  readonly toChange: readonly string[];
  /** Milliseconds since 1970. */
  readonly safeFrom: number;
}

export interface Move extends Names, Times {
  readonly address: Address | undefined;
  readonly estimate: Estimate | undefined;
  /** Finding ids of blockers that are not cleared: the move cannot begin before. */
  readonly blockers: readonly string[];
  /** Synapse's version at the source, where it is known. */
  readonly version: string | undefined;
  readonly atRisk: number;
  /** Nothing on the old host is known that could stop the server. */
  readonly stoppedByHand: boolean;
}

const HOUR = 3600_000;
const DAY = 24 * HOUR;

/** This person's move, in order, ready to paste. */
export function agendaOf(move: Move): Agenda {
  const moments = [...before(move), ...outage(move), ...after(move)];
  return {
    title: "The move, step by step",
    note: move.named
      ? "Times are UTC. Run the commands as root; those of the outage inside tmux."
      : `Times are UTC, for a cut-over as early as is safe; name another with --when. Run the commands as root; those of the outage inside tmux.`,
    moments,
  };
}

function before(move: Move): Moment[] {
  const { now, when, blockers, sqlite, address, atRisk, version } = move;
  const moments: Moment[] = [];
  if (blockers.length > 0) {
    moments.push({
      when: dateWords(now),
      title: "Clear what blocks the move",
      where: "on the old host",
      text: `The findings say how: ${blockers.join(", ")}. Then plan again.`,
      tone: "now",
    });
  }
  if (address !== undefined && address.toLower.length > 0) {
    moments.push({
      when: blockers.length > 0 ? "then" : dateWords(now),
      title: "Lower the times to live",
      where: "where your DNS and web server are kept",
      text: `${address.toLower.join("; ")}. Everybody who has the old values forgets them by ${dateWords(address.safeFrom)}.`,
      tone: "now",
    });
  }
  moments.push({
    title: "Make the new host ready",
    where: "on the new host",
    text: `Install Synapse${version === undefined ? "" : ` ${version}, the version of the old host`}${sqlite ? "" : ", PostgreSQL"}, gpg and synlift. Keep that Synapse from running, and make room for the old one's configuration${sqlite ? "" : " and database"}:`,
    commands: prepareCommands(move),
  });
  moments.push({
    title: "Rehearse",
    where: "on the old host",
    text: "The server keeps running. It tells how long each piece takes, and finds what would fail.",
    commands: ["tmux new -s rehearsal", exportCommand(move, true)],
  });
  moments.push({
    when: dateWords(Math.max(now, when - 7 * DAY)),
    title: atRisk > 0 ? "Tell people, and those at risk first" : "Tell people",
    where: "on the old host",
    text:
      atRisk > 0
        ? `${atRisk} ${atRisk === 1 ? "person would" : "people would"} lose encrypted messages if they had to sign in anew. The move keeps their sessions; their key backup should work before it all the same.`
        : "What happens, when, and that nobody must press reset.",
    commands: [usersCommand(move, dateWords(when), outageWords(move))],
  });
  return moments;
}

/** As people are to read it: rounded up, since nobody is cross about a server that is back early. */
function outageWords({ estimate }: Move): string {
  if (estimate === undefined) return "some hours";
  const minutes = Math.ceil(estimate.outageSeconds / 300) * 5;
  if (minutes < 60) return `about ${minutes} minutes`;
  const hours = Math.ceil(minutes / 30) / 2;
  return hours === 1 ? "about an hour" : `about ${hours} hours`;
}

function outage(move: Move): Moment[] {
  const { when, stoppedByHand } = move;
  const mediaFolder = "/var/lib/matrix-synapse/media";
  return [
    {
      when: dateWords(when),
      title: "Stop it for good and pack it",
      where: "on the old host",
      text: `Media is packed first, while the server still serves. Then the command says all that it is about to do and asks once; from there people are without their server.${stoppedByHand ? " Nothing here says what stops it: add --stop-command, or stop it yourself with its workers when you are asked to." : ""} Until the new server is open, synlift rollback takes everything back.`,
      commands: ["tmux new -s move", exportCommand(move, false)],
      tone: "outage",
    },
    {
      title: "Carry it",
      where: "on the old host",
      text: "The passphrase goes by another road: the last command shows it.",
      commands: [carryCommand(move), showPassphrase(move)],
      tone: "outage",
    },
    {
      title: "Take the passphrase",
      where: "on the new host",
      text: "Run this alone, paste the passphrase that the old host showed, then Enter and Ctrl-D.",
      commands: [TAKE_PASSPHRASE],
      tone: "outage",
    },
    {
      title: "Unpack it",
      where: "on the new host",
      text: "Inside tmux too.",
      commands: [restoreCommand(move, mediaFolder)],
      tone: "outage",
    },
    {
      title: "Prove it and open it",
      where: "on the new host",
      text: "Every gate is checked; only then does the server start. Until here everything can be undone, with synlift rollback on the old host.",
      commands: [OPEN_COMMAND, "systemctl enable matrix-synapse"],
      tone: "no-return",
    },
  ];
}

function after({ when, address }: Move): Moment[] {
  const change = address?.toChange ?? [];
  return [
    {
      title: "Move the address",
      where: "where your DNS and web server are kept",
      text:
        change.length > 0
          ? `Let these lead to the new host: ${change.join("; ")}. Until everybody has seen it, let the old host's web server pass requests on to the new one.`
          : "Let your domain's records, proxy or well-known files lead to the new host.",
      tone: "outage",
    },
    {
      when: dateWords(when + 2 * DAY),
      title: "Raise the times to live again, and take the old host's forwarding away",
      text: "Other servers may keep a well-known file for 48 hours.",
    },
    {
      when: dateWords(when + 14 * DAY),
      title: "Remove the bundle and its passphrase from both hosts",
      text: "When nobody has missed anything.",
    },
  ];
}
