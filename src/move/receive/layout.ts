import { join } from "node:path";
import {
  FENCE,
  FETCHED,
  JOURNAL,
  LOCK,
  PACKED_MEDIA,
  PROGRESS,
  SAFE_NAME,
  SENT,
} from "../../bundle/layout.ts";
import { uploadId } from "../../transfer/receiver-format.ts";

/** Where things are in the folder of a `synlift receive`. Every customer has a folder there; the rest is in a hidden one. */
export const layoutOf = (root: string) => {
  const own = join(root, ".receive");
  return {
    lock: join(own, "lock"),
    invitations: join(own, "invitations"),
    invitation: (customer: string) => join(own, "invitations", `${customer}.json`),
    /** The bundle of a customer, and nothing else but its partial files. */
    bundle: (customer: string) => join(root, customer),
    /** A record for each upload that is not finished. */
    uploads: (customer: string) => join(own, "uploads", customer),
    /** A record for each file whose hash was compared. */
    proven: (customer: string) => join(own, "proven", customer),
    complete: (customer: string) => join(own, "complete", `${customer}.json`),
  };
};

/** What the programs that work on a bundle write into its folder. */
const OWN_NAMES: readonly string[] = [JOURNAL, LOCK, PROGRESS, SENT, FETCHED, FENCE, PACKED_MEDIA];

/** Whether a file of this name may be sent: none that leads out of the folder, and none that a later run would take for its own. */
export const mayBeSent = (name: string): boolean =>
  SAFE_NAME.test(name) && !OWN_NAMES.includes(name) && !name.startsWith(`${LOCK}.`);

/** Of an upload, by its id. */
export const partialOf = (id: string): string => `.${id}.partial`;

export const idOf = uploadId;
