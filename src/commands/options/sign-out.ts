import { z } from "zod";
import type { SignOutPlan } from "../../move/old-address/sign-out.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { CONFIG_OPTIONS, exactlyOne } from "./shared.ts";
import { originSchema } from "./site.ts";

/** How clients are signed out, and the count before it. */
export const SIGN_OUT_OPTIONS = optionGroup({
  heading: "Sign-out",
  options: [
    { flags: "--new <url>", about: "base address of the new homeserver", required: true },
    {
      flags: "--soft",
      about: "clients that know it keep their keys, and sign in again at the old address",
    },
    { flags: "--hard", about: "clients discard messages and keys; people sign in at the new address" },
    {
      flags: "--message <sentence>",
      about: "what people may see",
      default: "This server has moved. Please sign in again.",
    },
    { flags: "--yes", about: "do not ask, although somebody would lose messages" },
    {
      flags: "--no-survey",
      about: "do not count who would lose encrypted messages, as where the database cannot be read",
    },
    {
      flags: "--coverage-days <number>",
      about: "check key backups against the messages of this many days; 0 checks nothing",
      default: "90",
    },
  ],
  schema: {
    new: originSchema,
    soft: z.boolean().default(false),
    hard: z.boolean().default(false),
    message: z.string().min(1).max(500).default("This server has moved. Please sign in again."),
    yes: z.boolean().default(false),
    survey: z.boolean().default(true),
    coverageDays: z.coerce.number().int().min(0).max(3650).default(90),
    ...CONFIG_OPTIONS.schema,
  },
  read: (given, system: System): SignOutPlan => ({
    kind: given.soft ? "soft" : "hard",
    to: given.new,
    message: given.message,
    survey: {
      given: given.survey ? CONFIG_OPTIONS.read(given, system) : undefined,
      coverageDays: given.coverageDays,
    },
    yes: given.yes,
  }),
});

export const SIGN_OUT_RULE = exactlyOne(
  "give --soft, which keeps the keys of clients that know it, or --hard",
  "soft",
  "hard",
);
