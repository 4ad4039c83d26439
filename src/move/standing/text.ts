import type { Standing } from "./run.ts";

/** What is said, and what to type next. */
export interface NextStep {
  readonly sentences: readonly string[];
  readonly next: readonly string[];
}

/** The new host's side is told where there is one: it is the later part of a move. */
export function describeStanding({ packed, restored }: Standing, out: string): NextStep {
  if (restored) return describeRestored(restored);
  if (!packed)
    return {
      sentences: ["no move has begun on this host"],
      next: ["on the old host, while it serves: synlift plan --html /root/plan.html"],
    };
  const { subject, state, purpose } = packed;
  const what = `${purpose === "rehearsal" ? "a rehearsal of " : ""}${subject === "" ? "a homeserver" : subject}`;
  switch (state.kind) {
    case "running":
      return { sentences: [`${what} is being packed`], next: [`synlift status --out ${out}`] };
    case "following":
      return {
        sentences: [`a copy of the database of ${what} follows on the new host; this server goes on`],
        next: ["on the new host: synlift follow status", `what is changed here: synlift status --out ${out}`],
      };
    case "interrupted":
      return {
        sentences: [`the packing of ${what} was interrupted`, "it continues where it stopped"],
        next: [`the same command again that began it; to see what is done: synlift status --out ${out}`],
      };
    case "rolled-back":
      return {
        sentences: [`the move of ${what} was cancelled by rollback on ${state.at}`],
        next: ["to move after all: synlift plan"],
      };
    case "handed-over":
      return {
        sentences: [`the new host has had all of ${what} since ${state.at}`],
        next: ["on the new host: synlift open"],
      };
    case "sealed":
      return {
        sentences: [
          `${what} is packed in ${out}`,
          ...(packed.fenced ? ["this server is stopped, and prevented from starting"] : []),
        ],
        next: [
          `synlift send ${out} sftp://root@new.example.org${out}`,
          "and there, with the passphrase: synlift restore",
        ],
      };
  }
}

function describeRestored({ configFolder, record }: NonNullable<Standing["restored"]>): NextStep {
  const { serverName, opened } = record;
  if (opened !== null)
    return {
      sentences: [`${serverName} has passed every gate here on ${opened}`],
      next: ["synlift delegation check, until nobody is sent to the old host"],
    };
  return {
    sentences: [`${serverName} is restored here, and prevented from starting until it is opened`],
    next: [`synlift open --config-dir ${configFolder} --passphrase-file /root/move.passphrase --dry-run`],
  };
}

export const standingLines = ({ sentences, next }: NextStep): string[] => [
  ...sentences,
  `next: ${next[0] ?? ""}`,
  ...next.slice(1).map((line) => `      ${line}`),
  "all commands: synlift --help",
];
