import { MigrationError } from "../../errors.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import {
  changeWebServer,
  runForWebServer,
  type WebServerFile,
} from "../../homeserver/service/fence/web-server.ts";
import { maintenanceBehaviour, type MaintenanceOrder } from "../../old-address/maintenance.ts";
import { isOurs, MARK } from "../../proxies/mark.ts";
import { PROXIES } from "../../proxies/proxies.ts";
import type { Finding } from "../../report/finding.ts";
import { jsonOf } from "../../system/http/ask.ts";
import { NoAnswer } from "../../system/http/no-answer.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { assertParentFolder } from "../disk-space.ts";

/** Programs whose sites include other files, so that one can be added and taken away. */
export const INCLUDING_PROXIES = ["nginx", "caddy", "apache"] as const;
type IncludingProxy = (typeof INCLUDING_PROXIES)[number];

/** How the web server of this host answers for the homeserver from its stop on. */
export interface MaintenanceAtStop {
  readonly proxy: IncludingProxy;
  /** Absolute; its site includes it. */
  readonly path: string;
  /** Instead of the program's usual commands. */
  readonly test: string | undefined;
  readonly reload: string | undefined;
  /** Where to look that it answers; undefined for public_baseurl. */
  readonly url: string | undefined;
  readonly answer: Pick<MaintenanceOrder, "retryAfter" | "message">;
}

/** As Debian's packages have them. */
const COMMANDS: Readonly<Record<IncludingProxy, Omit<WebServerFile, "path">>> = {
  nginx: { test: "nginx -t", reload: "systemctl reload nginx" },
  caddy: {
    test: "caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile",
    reload: "systemctl reload caddy",
  },
  apache: { test: "apache2ctl configtest", reload: "systemctl reload apache2" },
};

/** Milliseconds that a web server may take until every worker has the new configuration. */
const RELOAD_TIMEOUT = 15_000;

const fileOf = ({ proxy, path, test, reload }: MaintenanceAtStop): WebServerFile => ({
  path,
  test: test ?? COMMANDS[proxy].test,
  reload: reload ?? COMMANDS[proxy].reload,
});

/**
 * Looks, while nothing is changed, whether the file may be written and the web server's configuration is right as it is.
 * Throws `bad-usage` for a file that synlift may not replace, and `fence-failed` for a configuration that is wrong before.
 */
export async function assertCanAnswer(
  order: MaintenanceAtStop,
  { files, programs }: Pick<System, "files" | "programs">,
): Promise<void> {
  const { path, test } = fileOf(order);
  await assertParentFolder(path, "--maintenance", files);
  if ((await files.stat(path)) !== undefined && !mayReplace(await files.readText(path)))
    throw new MigrationError("bad-usage", `--maintenance: ${path} exists, and synlift did not write it`, {
      hint: "name a file that is empty or does not exist yet, and that the site includes",
    });
  await answerStep(
    () => runForWebServer(test, programs),
    `the configuration of ${PROXIES[order.proxy].title} is wrong already`,
  );
}

/** Ours, or without any statement. */
const mayReplace = (text: string) =>
  isOurs(text) || text.split("\n").every((line) => /^\s*(?:#.*)?$/.test(line));

/** What will be done, as a line for the question. */
export function describeAnswer(order: MaintenanceAtStop): string {
  const { path, test, reload } = fileOf(order);
  return `${PROXIES[order.proxy].title} answers clients with 503 and Retry-After from then on: ${path} is written, then ${test}, then ${reload}; rollback and open --maintenance take it away`;
}

/**
 * Has the web server answer 503 for the homeserver, and looks that it does. Whatever fails, the web server is left as it
 * was. May be repeated after an interruption. Throws `fence-failed`.
 */
export async function beginAnswering(
  order: MaintenanceAtStop,
  { publicUrl, record }: { readonly publicUrl: string | undefined; readonly record: FenceRecord },
  system: System,
): Promise<Finding[]> {
  const { proxy, answer } = order;
  const { title } = PROXIES[proxy];
  const behaviour = maintenanceBehaviour({ ...answer, untouched: { kind: "nothing" } });
  const head = `${MARK}. It answers while the homeserver is down; synlift rollback and synlift open take it away.`;
  const text = `${head}\n\n${PROXIES[proxy].snippet(behaviour, "synlift-maintenance")}`;
  const findings: Finding[] = [];
  const url = order.url ?? publicUrl;
  const prove = async () => {
    if (url !== undefined) findings.push(...(await lookAt(url, order, system)));
  };
  await answerStep(
    () => changeWebServer(fileOf(order), text, record, { ...system, prove }),
    `${title} cannot be told to answer for the homeserver`,
  );
  return findings;
}

async function answerStep(act: () => Promise<void>, what: string): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError("fence-failed", `${what}: ${error.message}`, {
      hint: `${error.hint === undefined ? "" : `${error.hint}; `}correct it, or leave out --maintenance: clients then get what the web server says of a server that is down`,
      cause: error,
    });
  }
}

/** Asks as a client does. Throws `fence-failed` when something else answers than was written. */
async function lookAt(
  url: string,
  { answer, path }: MaintenanceAtStop,
  { http, machine, signal }: System,
): Promise<Finding[]> {
  const asked = `${url.replace(/\/+$/, "")}/_matrix/client/versions`;
  const until = machine.elapsed() + RELOAD_TIMEOUT;
  for (;;) {
    const found = await http.get(asked, { timeout: 5_000, signal }).catch((error: unknown) => {
      if (error instanceof NoAnswer) return error;
      throw error;
    });
    const isAnswer = !(found instanceof NoAnswer);
    if (isAnswer && found.status === 503 && jsonOf(found)?.["error"] === answer.message)
      return [
        { id: "maintenance-answers", level: "ok", sentence: `${url} answers 503, so that clients wait` },
      ];
    if (machine.elapsed() > until) {
      if (isAnswer)
        throw new MigrationError(
          "fence-failed",
          `${asked} does not get the answer of ${path}, but ${found.status}`,
          {
            hint: `include ${quoteShellWord(path)} in the site before its other rules (synlift maintenance --snippet shows how); --maintenance-url gives another address of it`,
          },
        );
      return [
        {
          id: "maintenance-unseen",
          level: "warning",
          sentence: `${asked} could not be asked from here whether it answers 503: ${found.message}`,
          hint: "ask it from elsewhere; --maintenance-url gives another address",
        },
      ];
    }
    await machine.wait(250, signal);
  }
}
