import { join, resolve } from "node:path";
import { z } from "zod";
import { REPORT } from "../bundle/layout.ts";
import { describeOrigin } from "../bundle/origin.ts";
import { MigrationError } from "../errors.ts";
import { DUMP_FORMATS } from "../homeserver/database/dump/format.ts";
import { sendHomeserver } from "../move/direct/send.ts";
import { describeDryRun, lookBeforeExport } from "../move/export/look.ts";
import { exportHomeserver, type SealedBundle } from "../move/export/run.ts";
import type { Finding } from "../report/finding.ts";
import { formatBytes } from "../report/units.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { Command, Outcome } from "./command.ts";
import {
  ACCEPT,
  acceptSchema,
  CONFIG_OPTIONS,
  configSchema,
  DRY_RUN,
  dryRunSchema,
  givenSource,
  mediaArtifactsOf,
  parseOptions,
  PASSPHRASE_OPTIONS,
  passphraseSchema,
  passphraseSource,
  RECIPIENT,
  recipientSchema,
  sizeOf,
  STOP_OPTIONS,
  stopSchema,
} from "./options/shared.ts";

const schema = z.object({
  config: z.array(z.string()).default([]),
  out: z.string().min(1),
  ...configSchema,
  rehearse: z.boolean().default(false),
  toReceiver: z.boolean().default(false),
  ...stopSchema,
  split: z
    .string()
    .transform((text) => sizeOf(text))
    .optional(),
  dbFormat: z.enum(DUMP_FORMATS, { error: "write plain or custom" }).default("plain"),
  media: z.string().default("backup").transform(mediaArtifactsOf),
  archiveSize: z
    .string()
    .default("10g")
    .transform((text) => sizeOf(text, "--archive-size")),
  ...passphraseSchema,
  ...recipientSchema,
  remoteMedia: z.enum(["leave", "keep"], { error: "write leave or keep" }).default("leave"),
  urlCache: z.boolean().default(false),
  ...acceptSchema,
  ...dryRunSchema,
});

/** Options that say how a bundle is packed. */
const OF_A_BUNDLE = ["media", "archiveSize", "remoteMedia", "urlCache", "split", "recipient", "dbFormat"];

const flagOf = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary:
    "Stop this homeserver permanently and pack it into an encrypted bundle. Run it again to continue after an interruption.",
  options: [
    ...CONFIG_OPTIONS,
    { flags: "--out <folder>", about: "folder of the bundle: new, empty, or from an earlier run" },
    {
      flags: "--rehearse",
      about: "rehearse on the running server; the result cannot be opened as the real server",
    },
    {
      flags: "--to-receiver",
      about:
        "for restore --from on the new host, which starts this: send directly to it instead of packing a bundle",
    },
    ...STOP_OPTIONS,
    { flags: "--split <size>", about: "split artifacts into parts of this size, such as 100m" },
    {
      flags: "--db-format <format>",
      about:
        "format of a PostgreSQL dump: plain (default), which is SQL; or custom, which restore loads with parallel pg_restore jobs",
    },
    {
      flags: "--media <kinds>",
      about:
        "which media to pack: backup (default; the media store, which restore needs), archive (for matrix-media-repo), archive,backup or none",
    },
    {
      flags: "--archive-size <size>",
      about:
        "size of one archive for matrix-media-repo, such as 10g (default); more uploads make several archives",
    },
    {
      flags: "--remote-media <what>",
      about:
        "media of other servers: leave (default), which packs only media of servers that no longer answer; or keep",
    },
    { flags: "--url-cache", about: "also pack the images of URL previews" },
    ...PASSPHRASE_OPTIONS,
    RECIPIENT,
    ACCEPT,
    DRY_RUN,
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse(given) {
    const options = parseOptions(schema, given);
    const unused = options.toReceiver ? OF_A_BUNDLE.filter((name) => given[name] !== undefined) : [];
    if (unused.length > 0)
      throw new MigrationError(
        "bad-usage",
        `--to-receiver packs no bundle: it cannot be combined with ${unused.map(flagOf).join(", ")}`,
        {
          hint: "leave them out: the media store is sent unchanged; for archives, pack a bundle and copy it",
        },
      );
    if ((options.remoteMedia === "keep" || options.urlCache) && !options.media.backup)
      throw new MigrationError("bad-usage", "--remote-media keep and --url-cache require --media backup", {
        hint: "archives for matrix-media-repo contain uploads only: add backup to --media",
      });
    return options;
  },

  async run(options, system, view) {
    const { machine } = system;
    const folder = resolve(machine.folder, options.out);
    const order = {
      given: givenSource(options, system),
      ...{ folder, rehearsal: options.rehearse, stop: options, partSize: options.split },
      passphrase: passphraseSource(options),
      ...{ recipients: options.recipient, dumpFormat: options.dbFormat },
      accepted: options.accept,
      media: {
        ...options.media,
        ...{ archiveSize: options.archiveSize, remote: options.remoteMedia === "keep" },
        previews: options.urlCache,
      },
    };
    if (options.toReceiver) {
      await sendHomeserver(order, system);
      return { findings: [], details: { folder }, lines: [] };
    }
    const look = await lookBeforeExport(order, system, view);
    if ("manifest" in look) return sealed(folder, { ...look, report: join(folder, REPORT) });
    if (options.dryRun) return dryRunOutcome(folder, await describeDryRun(look, system));
    return sealed(folder, await exportHomeserver(look, system, view));
  },
};

function dryRunOutcome(
  folder: string,
  { findings, lines }: { findings: readonly Finding[]; lines: readonly string[] },
): Outcome {
  return {
    findings,
    details: { folder, dryRun: true, wouldDo: [...lines] },
    lines: [
      ...lines.map((line) => `would be done: ${line}`),
      `dry run: nothing was written; the bundle would be in ${folder}`,
    ],
  };
}

function sealed(folder: string, { manifest, findings, report }: SealedBundle): Outcome {
  const size = manifest.artifacts.reduce((sum, artifact) => sum + artifact.size, 0);
  const kind = manifest.rehearsal ? "a rehearsal of " : "";
  return {
    findings,
    details: {
      folder,
      report,
      bundle: manifest.id,
      bytes: size,
      artifacts: manifest.artifacts.map(({ name }) => name),
      rehearsal: manifest.rehearsal,
      outageSince: manifest.outageSince,
      recipients: [...(manifest.recipients ?? [])],
      inventorySha256: manifest.inventory.sha256,
    },
    lines: [
      `${kind}${manifest.subject} is packed in ${folder}: ${manifest.artifacts.length} artifacts, ${formatBytes(size)}, read back and intact`,
      ...describeOrigin(manifest),
      `report: ${report}`,
      ...(manifest.rehearsal
        ? []
        : [
            `copy the folder to the new host and run synlift restore there; or, to cancel the move before the new server is open: synlift rollback --out ${quoteShellWord(folder)} --target URL, with the address of the new server`,
          ]),
    ],
  };
}
