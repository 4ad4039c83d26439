import { z } from "zod";
import type { SendTo } from "../../move/export/look.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { ADDRESS_FORMS, TRANSFER_OPTIONS } from "./transfer.ts";

/** Bytes of a part when only `--to` is given: the size that Element's guide splits into. */
const PART_SIZE = 100 * 1024 * 1024;

const option: Option = {
  flags: "--to <address>",
  about: `send parts there as they are made, and keep two at most on this host: ${ADDRESS_FORMS}`,
};

const schema = { to: z.string().min(1).optional(), ...TRANSFER_OPTIONS.schema };

type Given = z.infer<z.ZodObject<typeof schema>> & { readonly split?: number | undefined };

/** Where the parts of an export are sent to as they are made. */
export const SEND_TO = {
  option,
  schema,

  /** Throws `bad-usage`. */
  async read(
    given: Given,
    system: System,
  ): Promise<{ partSize: number | undefined; sendTo: SendTo | undefined }> {
    if (given.to === undefined) return { partSize: given.split, sendTo: undefined };
    const { parseDestination } = await import("../../transfer/destination.ts");
    const settings = TRANSFER_OPTIONS.read(given, system);
    const destination = await parseDestination(given.to, settings, system);
    return { partSize: given.split ?? PART_SIZE, sendTo: { destination, persistence: settings } };
  },
};
