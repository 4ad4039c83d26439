import { resolve } from "node:path";
import type { Finding } from "../../report/finding.ts";
import { jsonOf } from "../../system/http/ask.ts";
import type { Http } from "../../system/http/http.ts";
import type { Machine, ProcessInfo } from "../../system/machine.ts";
import type { Homeserver } from "../homeserver.ts";
import { localHttp, localUrlsOf } from "../listeners.ts";

/** Evidence that Synapse or a worker is running: processes with this configuration, listeners that answer. */
export async function findActivity(
  homeserver: Homeserver,
  { machine, http }: { machine: Machine; http: Http },
): Promise<Finding[]> {
  return [...processesOf(homeserver, machine), ...(await answers(homeserver, http))];
}

/**
 * The programs of main process and workers (synapse/app/, and the console scripts in pyproject.toml), each a whole word
 * of the command line, because they may also occur in the arguments of a shell or of synlift itself.
 */
const SYNAPSE = /^synapse\.app\.\w+$|(?:^|\/)synapse_(?:homeserver|worker)$|(?:^|\/)synapse\/app\/\w+\.py$/;

function processesOf(homeserver: Homeserver, machine: Machine): Finding[] {
  const ours = new Set([...homeserver.configPaths, ...homeserver.configFiles.map(({ path }) => path)]);
  const reads = ({ args, folder }: ProcessInfo) =>
    args.some((arg) => ours.has(resolve(folder ?? "/", arg.replace(/^(-c|--config-path=)/, ""))));
  const running = machine
    .processes()
    .filter((one) => one.args.some((arg) => SYNAPSE.test(arg)) && reads(one));
  if (running.length === 0) return [];
  return [
    {
      id: "homeserver-process",
      level: "blocker",
      sentence: `Synapse runs with this configuration, as process ${running.map(({ pid }) => pid).join(", ")}`,
      hint: "stop it with what started it, workers too: systemctl stop matrix-synapse",
    },
  ];
}

async function answers({ listeners, serverName }: Homeserver, given: Http): Promise<Finding[]> {
  const http = localHttp(given, listeners);
  const found: string[] = [];
  for (const url of localUrlsOf(listeners)) {
    const answer = await http.get(`${url}/_matrix/key/v2/server`, { timeout: 3000 }).catch(() => undefined);
    const health =
      answer?.status === 200
        ? undefined
        : await http.get(`${url}/health`, { timeout: 3000 }).catch(() => undefined);
    if (answer?.status === 200 && jsonOf(answer)?.["server_name"] === serverName)
      found.push(`${url} publishes the key of ${serverName}`);
    else if (health?.status === 200 && Buffer.from(health.body).toString() === "OK")
      found.push(`${url}/health answers OK`);
  }
  if (found.length === 0) return [];
  return [
    {
      id: "homeserver-answers",
      level: "blocker",
      sentence: `${serverName} still answers on this host`,
      evidence: found,
      hint: "stop Synapse and its workers: systemctl stop matrix-synapse",
    },
  ];
}
