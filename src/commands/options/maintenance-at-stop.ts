import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { INCLUDING_PROXIES, type MaintenanceAtStop } from "../../move/old-server/maintenance-at-stop.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { MAINTENANCE_OPTIONS } from "./maintenance.ts";
import { originSchema } from "./site.ts";

/** `nginx:/etc/nginx/snippets/FILE`. */
const placeSchema = z
  .string()
  .regex(
    new RegExp(`^(?:${INCLUDING_PROXIES.join("|")}):/.+`),
    `write PROGRAM:FILE, with the absolute path of a file that the site includes: nginx:/etc/nginx/snippets/matrix-is-down.conf; PROGRAM is one of ${INCLUDING_PROXIES.join(", ")}. HAProxy and Traefik include none: let them fall back to synlift maintenance serve`,
  );

/** What the web server of the old host answers from the stop on. */
export const MAINTENANCE_AT_STOP = optionGroup({
  heading: "Web server of the old host",
  options: [
    {
      flags: "--maintenance <program:file>",
      about:
        "at the stop, have this host's web server answer 503, so that clients wait: nginx:/etc/nginx/snippets/down.conf, a file that the site includes; rollback takes it away",
    },
    {
      flags: "--maintenance-test <command>",
      about: "command that checks the web server's configuration",
      default: "nginx -t, caddy validate, apache2ctl configtest",
    },
    {
      flags: "--maintenance-reload <command>",
      about: "command that has the web server read its configuration",
      default: "systemctl reload",
    },
    {
      flags: "--maintenance-url <url>",
      about: "address at which to look that it answers",
      default: "public_baseurl",
    },
  ],
  schema: {
    maintenance: placeSchema.optional(),
    maintenanceTest: z.string().min(1).optional(),
    maintenanceReload: z.string().min(1).optional(),
    maintenanceUrl: originSchema.optional(),
  },
  read(given, { machine }: Pick<System, "machine">): MaintenanceAtStop | undefined {
    assertWhole(given);
    if (given.maintenance === undefined) return undefined;
    const [, program, path] = /^(\w+):(.+)$/s.exec(given.maintenance)!;
    return {
      proxy: INCLUDING_PROXIES.find((proxy) => proxy === program)!,
      path: resolve(machine.folder, path!),
      test: given.maintenanceTest,
      reload: given.maintenanceReload,
      url: given.maintenanceUrl,
      answer: {
        retryAfter: MAINTENANCE_OPTIONS.schema.retryAfter.parse(undefined),
        message: MAINTENANCE_OPTIONS.schema.message.parse(undefined),
      },
    };
  },
});

/** Throws `bad-usage` for an option that says nothing without the first. */
function assertWhole(given: GivenMaintenance): void {
  const { maintenance, maintenanceTest, maintenanceReload, maintenanceUrl } = given;
  if (maintenance === undefined && (maintenanceTest ?? maintenanceReload ?? maintenanceUrl) !== undefined)
    throw new MigrationError(
      "bad-usage",
      "--maintenance-test, --maintenance-reload and --maintenance-url require --maintenance",
    );
}

interface GivenMaintenance {
  readonly maintenance?: string | undefined;
  readonly maintenanceTest?: string | undefined;
  readonly maintenanceReload?: string | undefined;
  readonly maintenanceUrl?: string | undefined;
}

/** The same options, for the command that starts the sender on the old host. */
export function senderArguments(given: GivenMaintenance): string[] {
  assertWhole(given);
  const options = [
    ["--maintenance", given.maintenance],
    ["--maintenance-test", given.maintenanceTest],
    ["--maintenance-reload", given.maintenanceReload],
    ["--maintenance-url", given.maintenanceUrl],
  ] as const;
  return options.flatMap(([name, value]) => (value === undefined ? [] : [name, quoteShellWord(value)]));
}
