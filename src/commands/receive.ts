import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { parseOptions, requires, sizeOf, withRules } from "./options/shared.ts";
import { endpointOf } from "./options/site.ts";
import { wholeNumber } from "./options/transfer.ts";

const schema = withRules(
  z.object({
    dir: z.string().min(1),
    listen: z
      .string()
      .default("127.0.0.1:8449")
      .transform((text) => endpointOf(text)),
    certificate: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    plain: z.boolean().default(false),
    hook: z.string().min(1).optional(),
    bandwidth: z
      .string()
      .transform((text) => sizeOf(text, "--bandwidth"))
      .optional(),
    connections: wholeNumber(1, 10_000).default(256),
    silence: wholeNumber(1, 3600).default(60),
  }),
  requires("key", "certificate"),
);

export const receiveCommand: Command<z.infer<typeof schema>> = {
  name: "receive",
  summary:
    "For providers: take in the bundles of invited customers over HTTPS, and compare every file. Runs until it is stopped.",
  options: [
    {
      heading: "Where it answers",
      options: [
        { flags: "--dir <folder>", about: "folder in which every customer gets one", required: true },
        { flags: "--listen <[address:]port>", about: "where to listen", default: "127.0.0.1:8449" },
        {
          flags: "--certificate <file>",
          about: "certificate with its chain, for HTTPS; read again when it is renewed",
          default: "HTTP on loopback, behind another web server",
        },
        { flags: "--key <file>", about: "key of the certificate", default: "in the certificate's file" },
        { flags: "--plain", about: "listen without encryption on other addresses than loopback, too" },
      ],
    },
    {
      heading: "What it does",
      options: [
        {
          flags: "--hook <command>",
          about:
            "command to run for each complete bundle; SYNLIFT_CUSTOMER, SYNLIFT_FOLDER, SYNLIFT_BUNDLE and SYNLIFT_SUBJECT say which",
        },
      ],
    },
    {
      heading: "Limits",
      options: [
        {
          flags: "--bandwidth <rate>",
          about: "bytes a second of all customers, such as 100m",
          default: "none",
        },
        { flags: "--connections <number>", about: "open connections at a time", default: "256" },
        {
          flags: "--silence <seconds>",
          about: "close a connection that brings less than 1 KiB a second for so long",
          default: "60",
        },
      ],
    },
  ],
  example:
    "synlift receive --dir /srv/incoming --listen 443 --certificate /etc/letsencrypt/live/upload.example.org/fullchain.pem --key /etc/letsencrypt/live/upload.example.org/privkey.pem --hook 'synlift verify \"$SYNLIFT_FOLDER\" --without-key'",
  parse: (given) => parseOptions(schema, given),

  async run({ dir, certificate, key, ...options }, system, view) {
    const [{ receive }, { receiveDetails, receiveLines }] = await Promise.all([
      import("../move/receive/run.ts"),
      import("../move/receive/result-text.ts"),
    ]);
    const here = (path: string) => resolve(system.machine.folder, path);
    const tls =
      certificate === undefined
        ? undefined
        : { certificate: here(certificate), key: here(key ?? certificate) };
    const { listen, plain, hook, bandwidth, connections, silence } = options;
    const result = await receive(
      { folder: here(dir), listen, tls, plain, hook, bandwidth, connections, silence },
      system,
      view,
    );
    return { findings: [], details: receiveDetails(result), lines: receiveLines(result) };
  },
};
