import { resolve } from "node:path";
import { z } from "zod";
import type { Untouched } from "../../old-address/untouched.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { endpointOf, originSchema } from "./site.ts";

/** Where synlift itself answers. */
export const ANSWERING_OPTIONS = optionGroup({
  heading: "Where it answers",
  options: [
    {
      flags: "--listen <[address:]port>",
      about: "where to listen",
      many: true,
      default: "127.0.0.1:8089",
    },
    {
      flags: "--certificate <file>",
      about: "certificate with its chain, for HTTPS; read again when it is renewed",
      default: "HTTP, behind another web server",
    },
    { flags: "--key <file>", about: "key of the certificate" },
    { flags: "--until <date>", about: "end at this date: 2026-12-31, or with a time 2026-12-31T12:00Z" },
    {
      flags: "--web-root <folder>",
      about: "folder of all other paths: /.well-known, certificate challenges",
    },
    { flags: "--web-server <url>", about: "web server for all other paths, instead of a folder" },
  ],
  schema: {
    listen: z.array(z.string().transform((text) => endpointOf(text))).default([]),
    certificate: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    until: z.string().min(1).optional(),
    webRoot: z.string().min(1).optional(),
    webServer: originSchema.optional(),
  },
  read({ listen, certificate, key, until, webRoot, webServer }, { machine }: Pick<System, "machine">) {
    const here = (path: string) => resolve(machine.folder, path);
    const untouched: Untouched =
      webServer !== undefined
        ? { kind: "server", to: { origin: webServer } }
        : webRoot !== undefined
          ? { kind: "folder", path: here(webRoot) }
          : { kind: "nothing" };
    return {
      listen: listen.length === 0 ? [{ address: "127.0.0.1", port: 8089 }] : listen,
      tls:
        certificate === undefined
          ? undefined
          : { certificate: here(certificate), key: here(key ?? certificate) },
      until,
      untouched,
    };
  },
});
