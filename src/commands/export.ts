import { join, resolve } from "node:path";
import { z } from "zod";
import { REPORT } from "../bundle/layout.ts";
import { passphraseFor } from "../bundle/passphrase.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { seal } from "../bundle/seal.ts";
import { enterWorkplace } from "../bundle/workplace.ts";
import { AFTER_OPENING_BY_HAND } from "../homeserver/by-hand.ts";
import { CONFIG_SECTION, exportConfig } from "../homeserver/config/artifact.ts";
import { packConfig } from "../homeserver/config/export.ts";
import { exportDatabase } from "../homeserver/database/export.ts";
import { exportMedia, MEDIA_MISSING } from "../homeserver/media/export.ts";
import { exportPage } from "../homeserver/pages.ts";
import { readHomeserver } from "../homeserver/read.ts";
import { mustHaveRoom } from "../homeserver/room.ts";
import { KEY_SECTION, packSigningKey } from "../homeserver/signing-key/export.ts";
import {
  inspectSource,
  mustBeDown,
  mustBePlain,
  mustHaveStayedDown,
  sourceFindings,
} from "../homeserver/source.ts";
import { runSteps } from "../journal/run-steps.ts";
import type { Finding } from "../report/finding.ts";
import { pageHtml } from "../report/html.ts";
import { formatBytes } from "../report/units.ts";
import { PROGRAM } from "../system/version.ts";
import type { Command, Outcome } from "./command.ts";
import {
  ACCEPT,
  acceptSchema,
  checked,
  CONFIG_OPTIONS,
  configSchema,
  configSource,
  DRY_RUN,
  dryRunSchema,
  PASSPHRASE_OPTIONS,
  passphraseSchema,
  passphraseSource,
  sizeOf,
} from "./options.ts";

const schema = z.object({
  config: z.array(z.string()).min(1),
  out: z.string().min(1),
  ...configSchema,
  rehearse: z.boolean().default(false),
  split: z
    .string()
    .transform((text) => sizeOf(text))
    .optional(),
  ...passphraseSchema,
  ...acceptSchema,
  ...dryRunSchema,
});

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary: "Pack this homeserver into an encrypted bundle. Run it again to go on after an interruption.",
  options: [
    ...CONFIG_OPTIONS,
    { flags: "--out <folder>", about: "folder of the bundle: new, empty, or begun by an earlier run" },
    { flags: "--rehearse", about: "practise on the running server; nobody can open the result for good" },
    { flags: "--split <size>", about: "cut artifacts into parts of this size, such as 100m" },
    ...PASSPHRASE_OPTIONS,
    ACCEPT,
    DRY_RUN,
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse: (given) => checked(schema, given),

  async run(options, system, view) {
    const { files, machine, gpg, signal } = system;
    const folder = resolve(machine.folder, options.out);
    const homeserver = await readHomeserver(configSource(options, system), files);
    const source = await inspectSource(homeserver, system);
    if (!options.rehearse) mustBeDown(source.alive);
    mustBePlain(source.media, homeserver.mediaStore, options.accept);
    // Media is not compressed: as much as this is certain.
    await mustHaveRoom(folder, source.media.bytes, "the media", "--out", files);
    if (options.dryRun) {
      // What would refuse it later is found out now.
      await packConfig(homeserver, files, machine.random(32));
      await packSigningKey(homeserver, files);
      return rehearsed(folder, sourceFindings(homeserver, source));
    }

    const passphrase = await passphraseFor(folder, passphraseSource(options), system, (sentence) => {
      view.note(sentence);
    });
    const lock = { gpg, passphrase };
    const place = await enterWorkplace({
      folder,
      subject: homeserver.serverName,
      rehearsal: options.rehearse,
      partSize: options.split,
      lock,
      files,
      machine,
      progress: view,
    });
    try {
      const { journal, inventory, writer: into } = place;
      // A later run goes on with the outage that the first one found, unless the server ran again in between.
      const dumped = journal.steps["export/database"]?.inputs["database"];
      const ranAgain = dumped !== undefined && dumped !== source.marker;
      if (!options.rehearse && (!journal.facts["outageSince"] || ranAgain))
        await journal.setFact("outageSince", new Date(machine.now()).toISOString());
      const outageSince = journal.facts["outageSince"] ?? null;
      if (outageSince !== null) view.outage(Date.parse(outageSince));

      const packed = await packConfig(homeserver, files, inventory.salt);
      const key = await packSigningKey(homeserver, files);
      const shared = {
        into,
        inventory,
        inputs: placeInputs(inventory.id, options.split),
        saved: () => place.save(),
        check: place.check,
      };
      const { address, pgDump, marker, media } = source;
      const steps = [
        // What is small and can't be replaced goes first.
        exportConfig({
          ...shared,
          packed,
          sections: { [CONFIG_SECTION]: packed.section, [KEY_SECTION]: key },
        }),
        exportDatabase({ ...shared, ...system, address, pgDump, marker }),
        // After the database, so that every upload the dump knows has its file by now.
        exportMedia({
          ...shared,
          ...system,
          address,
          store: homeserver.mediaStore,
          state: media,
          accepted: options.accept.includes(MEDIA_MISSING),
        }),
      ];
      await runSteps(steps, { journal, progress: view, signal, now: () => machine.now() });
      if (!options.rehearse) await mustHaveStayedDown(homeserver, source, system);
      const subject = homeserver.serverName;
      // Not a step: it's cheap, and it must see every artifact each time.
      const manifest = await seal({
        folder,
        inventory,
        lock,
        files,
        subject,
        program: PROGRAM,
        outageSince,
        afterwards: AFTER_OPENING_BY_HAND,
      });
      const findings = [...packed.findings, ...sourceFindings(homeserver, source)];
      const report = join(folder, REPORT);
      await files.writeWhole(
        report,
        pageHtml(exportPage({ manifest, inventory, findings, now: machine.now() })),
      );
      return sealed(folder, manifest, findings, report);
    } finally {
      await place.leave();
    }
  },
};

/** A change of the part size is a change of every artifact. */
const placeInputs = (bundle: string, partSize: number | undefined) => ({
  bundle,
  split: partSize === undefined ? "whole" : String(partSize),
});

function rehearsed(folder: string, findings: readonly Finding[]): Outcome {
  return {
    findings,
    details: { folder, dryRun: true },
    lines: [`a dry run: nothing was written; the bundle would go to ${folder}`],
  };
}

function sealed(folder: string, manifest: Manifest, findings: readonly Finding[], report: string): Outcome {
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
    },
    lines: [
      `${kind}${manifest.subject} is packed in ${folder}: ${manifest.artifacts.length} artifacts, ${formatBytes(size)}, read back and whole`,
      `report: ${report}`,
      ...(manifest.rehearsal
        ? []
        : ["do not start the old server again; carry the folder to the new host, then: synlift restore"]),
    ],
  };
}
