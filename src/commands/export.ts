import { join, resolve } from "node:path";
import { z } from "zod";
import { REPORT } from "../bundle/layout.ts";
import { dropWorkingPassphrase, lockToMake, mustBeOneWay } from "../bundle/making-lock.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { readRecipients } from "../bundle/recipients.ts";
import { originLines } from "../bundle/origin.ts";
import { seal } from "../bundle/seal.ts";
import { enterWorkplace } from "../bundle/workplace.ts";
import { AFTER_OPENING_BY_HAND } from "../homeserver/by-hand.ts";
import { CONFIG_SECTION, exportConfig } from "../homeserver/config/artifact.ts";
import { packConfig } from "../homeserver/config/export.ts";
import { ExportClock, outageSince } from "../homeserver/estimate/export-clock.ts";
import { findExportSource } from "../homeserver/export-source.ts";
import { databaseStep, mediaSinceStep, mediaStep, sharedBySteps } from "../homeserver/packing.ts";
import { exportPage } from "../homeserver/pages.ts";
import { mustHaveRoom } from "../homeserver/room.ts";
import { sealedAgain } from "../homeserver/sealed-again.ts";
import { KEY_SECTION, packSigningKey } from "../homeserver/signing-key/export.ts";
import {
  downNow,
  inspectSource,
  mustBePlain,
  mustHaveStayedDown,
  signsOf,
  sourceFindings,
} from "../homeserver/source.ts";
import { mustAgree, planStop } from "../homeserver/stop-plan.ts";
import { takeDown } from "../homeserver/take-down.ts";
import { runSteps } from "../journal/run-steps.ts";
import type { Step } from "../journal/step.ts";
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
  DRY_RUN,
  dryRunSchema,
  PASSPHRASE_OPTIONS,
  passphraseSchema,
  passphraseSource,
  RECIPIENT,
  recipientSchema,
  sizeOf,
  STOP_OPTIONS,
  stopSchema,
} from "./options.ts";

const schema = z.object({
  config: z.array(z.string()).default([]),
  out: z.string().min(1),
  ...configSchema,
  rehearse: z.boolean().default(false),
  ...stopSchema,
  split: z
    .string()
    .transform((text) => sizeOf(text))
    .optional(),
  ...passphraseSchema,
  ...recipientSchema,
  ...acceptSchema,
  ...dryRunSchema,
});

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary:
    "Stop this homeserver for good and pack it into an encrypted bundle. Run it again to go on after an interruption.",
  options: [
    ...CONFIG_OPTIONS,
    { flags: "--out <folder>", about: "folder of the bundle: new, empty, or begun by an earlier run" },
    { flags: "--rehearse", about: "practise on the running server; nobody can open the result for good" },
    ...STOP_OPTIONS,
    { flags: "--split <size>", about: "cut artifacts into parts of this size, such as 100m" },
    ...PASSPHRASE_OPTIONS,
    RECIPIENT,
    ACCEPT,
    DRY_RUN,
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse: (given) => checked(schema, given),

  async run(options, system, view) {
    const { files, machine, signal } = system;
    const { accept: accepted, workingDirectory, rehearse } = options;
    const here = (path: string) => resolve(machine.folder, path);
    const folder = here(options.out);
    mustBeOneWay({ source: passphraseSource(options), recipients: options.recipient });
    const { fingerprints: recipients, findings: keys } = await readRecipients(options.recipient, system);
    const given = {
      configPaths: options.config.map(here),
      workingFolder: workingDirectory === undefined ? undefined : here(workingDirectory),
      map: options.map,
      folder: machine.folder,
    };
    const found = await findExportSource(given, folder, system);
    const { homeserver } = found;
    let source = await inspectSource(homeserver, system);
    const wanted = { folder, subject: homeserver.serverName, rehearsal: rehearse, recipients };
    const again = await sealedAgain(wanted, source.marker, files, view);
    if (again) return sealed(folder, again.manifest, [...keys, again.finding], join(folder, REPORT));
    const plan = rehearse ? undefined : await planStop(options, found, source, folder, system);
    mustBePlain(source.media, homeserver.mediaStore, accepted);
    // Media is not compressed: as much as this is certain.
    await mustHaveRoom(folder, source.media.bytes, "the media", "--out", files);
    if (options.dryRun) {
      // What would refuse it later is found out now.
      await packConfig(homeserver, files, machine.random(32));
      await packSigningKey(homeserver, files);
      const findings = [...keys, ...found.findings, ...sourceFindings(homeserver, source, rehearse)];
      return onlyLooked(folder, findings, plan?.lines ?? []);
    }

    const lock = await lockToMake(folder, { source: passphraseSource(options), recipients }, system, view);
    const place = await enterWorkplace({
      ...wanted,
      partSize: options.split,
      lock,
      files,
      machine,
      progress: view,
    });
    const clock = new ExportClock(place.journal, machine, view);
    try {
      const { journal, inventory } = place;
      const packed = await packConfig(homeserver, files, inventory.salt);
      const sections = {
        [CONFIG_SECTION]: packed.section,
        [KEY_SECTION]: await packSigningKey(homeserver, files),
      };
      const inputs = placeInputs(inventory.id, options.split, recipients);
      const packing = { homeserver, place, folder, inputs, accepted, system };
      const run = (step: Step) =>
        runSteps([step], { journal, progress: view, signal, now: () => machine.now() });
      const findings: Finding[] = [...keys, ...found.findings, ...packed.findings];

      // What is small and can't be replaced goes first.
      await run(exportConfig({ ...sharedBySteps(packing), packed, sections }));
      // Files of media never change: those that are there by now are packed while the server still serves.
      const served = plan?.alive === true;
      if (served) await run(mediaStep(packing, source, true));
      if (plan) {
        await mustAgree(plan, options, undefined, system);
        if (!plan.alive) await clock.foundDown(source.marker);
        const looked = source;
        findings.push(
          ...(await takeDown(
            {
              ...{ ...plan, homeserver, accepted },
              look: () => signsOf(homeserver, looked, system),
              outageBegins: () => clock.outageBegins(),
            },
            system,
            view,
          )),
        );
        source = await downNow(homeserver, source, system);
        await plan.record.setMarker(source.marker);
      }
      await clock.time("database", () => run(databaseStep(packing, source)));
      // After the database, so that every upload the dump knows has its file by now.
      if (!served) await run(mediaStep(packing, source, false));
      await run(mediaSinceStep(packing, source));
      if (plan) await mustHaveStayedDown(homeserver, source, system);
      // Not a step: it's cheap, and it must see every artifact each time.
      const manifest = await clock.time("seal", () =>
        seal({
          ...{ folder, inventory, lock, files },
          subject: homeserver.serverName,
          program: PROGRAM,
          outageSince: rehearse ? null : outageSince(journal),
          afterwards: AFTER_OPENING_BY_HAND,
        }),
      );
      findings.push(...sourceFindings(homeserver, source, rehearse), ...clock.findings(source, inventory));
      const report = join(folder, REPORT);
      await files.writeWhole(
        report,
        pageHtml(exportPage({ manifest, inventory, findings, now: machine.now() })),
      );
      await dropWorkingPassphrase(folder, files);
      return sealed(folder, manifest, findings, report);
    } catch (error) {
      if (plan && plan.record.standing.length > 0)
        view.note(
          `the old server is kept from starting: run the same command again to go on, or take that back with synlift rollback --out ${folder}`,
        );
      throw error;
    } finally {
      await place.leave();
    }
  },
};

/** A change of the part size, or of those who can open it, is a change of every artifact. */
const placeInputs = (bundle: string, partSize: number | undefined, recipients: readonly string[]) => ({
  bundle,
  split: partSize === undefined ? "whole" : String(partSize),
  ...(recipients.length === 0 ? {} : { recipients: recipients.join(" ") }),
});

function onlyLooked(folder: string, findings: readonly Finding[], lines: readonly string[]): Outcome {
  return {
    findings,
    details: { folder, dryRun: true, wouldDo: [...lines] },
    lines: [
      ...lines.map((line) => `would be done: ${line}`),
      `a dry run: nothing was written; the bundle would go to ${folder}`,
    ],
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
      outageSince: manifest.outageSince,
      recipients: [...(manifest.recipients ?? [])],
      inventorySha256: manifest.inventory.sha256,
    },
    lines: [
      `${kind}${manifest.subject} is packed in ${folder}: ${manifest.artifacts.length} artifacts, ${formatBytes(size)}, read back and whole`,
      ...originLines(manifest),
      `report: ${report}`,
      ...(manifest.rehearsal
        ? []
        : [
            `carry the folder to the new host, then: synlift restore; to give up the move instead: synlift rollback --out ${folder}`,
          ]),
    ],
  };
}
