import { join, resolve } from "node:path";
import { z } from "zod";
import { REPORT } from "../bundle/layout.ts";
import { describeOrigin } from "../bundle/origin.ts";
import { MigrationError } from "../errors.ts";
import { DUMP_FORMATS } from "../homeserver/database/dump/format.ts";
import { describeDryRun, lookBeforeExport } from "../move/export/look.ts";
import { exportHomeserver, type SealedBundle } from "../move/export/run.ts";
import type { Finding } from "../report/finding.ts";
import { formatBytes } from "../report/units.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { Command, Outcome } from "./command.ts";
import {
  ACCEPT,
  CONFIG_OPTIONS,
  DRY_RUN,
  mediaArtifactsOf,
  parseOptions,
  PASSPHRASE_OPTIONS,
  RECIPIENT,
  sizeOf,
  STOP_OPTIONS,
} from "./options/shared.ts";

const schema = z.object({
  out: z.string().min(1),
  ...CONFIG_OPTIONS.schema,
  rehearse: z.boolean().default(false),
  ...STOP_OPTIONS.schema,
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
  ...PASSPHRASE_OPTIONS.schema,
  ...RECIPIENT.schema,
  remoteMedia: z.enum(["leave", "keep"], { error: "write leave or keep" }).default("leave"),
  urlCache: z.boolean().default(false),
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary:
    "Stop this homeserver permanently and pack it into an encrypted bundle. Run it again to continue after an interruption.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--out <folder>",
          about: "folder of the bundle: new, empty, or from an earlier run",
          required: true,
        },
        {
          flags: "--rehearse",
          about: "rehearse on the running server; the result cannot be opened as the real server",
        },
        DRY_RUN,
        ACCEPT,
      ],
    },
    CONFIG_OPTIONS,
    STOP_OPTIONS,
    { heading: "Encryption", options: [...PASSPHRASE_OPTIONS.options, RECIPIENT] },
    {
      heading: "Contents of the bundle",
      options: [
        {
          flags: "--media <kinds>",
          about:
            "which media to pack: backup (the media store, which restore needs), archive (for matrix-media-repo), archive,backup or none",
          default: "backup",
        },
        {
          flags: "--remote-media <what>",
          about:
            "media of other servers: leave, which packs only media of servers that no longer answer; or keep",
          default: "leave",
        },
        { flags: "--url-cache", about: "also pack the images of URL previews" },
        {
          flags: "--db-format <format>",
          about:
            "format of a PostgreSQL dump: plain, which is SQL; or custom, which restore loads with parallel pg_restore jobs",
          default: "plain",
        },
        { flags: "--split <size>", about: "split artifacts into parts of this size, such as 100m" },
        {
          flags: "--archive-size <size>",
          about: "size of one archive for matrix-media-repo, such as 10g; more uploads make several archives",
          default: "10g",
        },
      ],
    },
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse(given) {
    const options = parseOptions(schema, given);
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
      given: CONFIG_OPTIONS.read(options, system),
      ...{ folder, rehearsal: options.rehearse, stop: options, partSize: options.split },
      passphrase: PASSPHRASE_OPTIONS.read(options),
      ...{ recipients: options.recipient, dumpFormat: options.dbFormat },
      accepted: options.accept,
      media: {
        ...options.media,
        ...{ archiveSize: options.archiveSize, remote: options.remoteMedia === "keep" },
        previews: options.urlCache,
      },
    };
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
