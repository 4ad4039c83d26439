import { resolve } from "node:path";
import { z } from "zod";
import type { Inventory } from "../bundle/inventory.ts";
import { MigrationError } from "../errors.ts";
import { type Finding, worstLevel } from "../report/finding.ts";
import type { Command } from "./command.ts";
import { KEY_OPTIONS, parseOptions, TRACE } from "./options/shared.ts";

const schema = z.object({
  argument: z.string().min(1),
  withoutKey: z.boolean().default(false),
  ...KEY_OPTIONS.schema,
});

export const verifyCommand: Command<z.infer<typeof schema>> = {
  name: "verify",
  summary: "Check a bundle: everything with its key, only sizes and hashes without it. Changes nothing.",
  argument: { name: "BUNDLE", about: "folder of the bundle" },
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--without-key", about: "check sizes and hashes only; do not ask for the passphrase" },
        TRACE,
      ],
    },
    KEY_OPTIONS,
  ],
  example: "synlift verify /srv/move --passphrase-file /root/move.passphrase",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [
      { bundleTime },
      { keysForOpening, keysIfGiven },
      { originFindings },
      { Bundle },
      { verifyContents, verifyManifest, verifyParts },
      { verifyForOpeningByHand },
      { archivesIn, checkArchives },
      { lossesIn },
    ] = await Promise.all([
      import("../bundle/manifest.ts"),
      import("../bundle/opening-keys.ts"),
      import("../bundle/origin.ts"),
      import("../bundle/reader.ts"),
      import("../bundle/verify.ts"),
      import("../bundle/verify-by-hand.ts"),
      import("../homeserver/media/archive/verify.ts"),
      import("../homeserver/media/losses.ts"),
    ]);
    const { files, machine, terminal } = system;
    const bundle = await Bundle.open(resolve(machine.folder, options.argument), files);
    const { recipients } = bundle.manifest;
    const source = KEY_OPTIONS.read(options);
    // A secret key cannot be asked for at the terminal.
    const asking = !options.withoutKey && !recipients && terminal.interactive;
    const lock = await (asking ? keysForOpening : keysIfGiven)(recipients, source, system);

    const findings: Finding[] = await verifyParts(bundle, files, view);
    let inventory: Inventory | undefined;
    if (lock === undefined) {
      findings.push({
        id: "key-not-given",
        level: "note",
        sentence: "only sizes and hashes were checked, which anyone could have rewritten",
        hint: recipients
          ? `to check the contents, give the secret key of ${recipients.join(" or ")}: --gpg-home`
          : "to check the contents, give the passphrase: --passphrase-file",
      });
    } else if (worstLevel(findings) !== "blocker") {
      // Nothing with a wrong hash is decrypted.
      inventory = await bundle.inventory(lock);
      findings.push(
        ...verifyManifest(bundle, inventory),
        ...(await verifyContents(bundle, inventory, lock, view, archivesIn(inventory))),
        ...(await checkArchives(bundle, inventory, lock, view)),
        ...lossesIn(inventory),
        ...originFindings(bundle.manifest),
      );
    }
    findings.push(...(await verifyForOpeningByHand(bundle, files, inventory)));
    const { id, subject, rehearsal, created, sealed } = bundle.manifest;
    return {
      findings,
      details: {
        folder: bundle.folder,
        bundle: id,
        subject,
        rehearsal,
        created,
        ...(sealed === undefined ? {} : { sealed }),
        key: lock !== undefined,
      },
      lines: [`${rehearsal ? "a rehearsal of " : ""}${subject}, packed on ${bundleTime(bundle.manifest)}`],
      failure:
        worstLevel(findings) === "blocker"
          ? new MigrationError("bundle-damaged", `${bundle.folder} is not an intact bundle`, {
              hint: "the findings say which files to copy again",
            })
          : undefined,
    };
  },
};
