import { resolve } from "node:path";
import { z } from "zod";
import type { DelegationFacts } from "../delegation/facts.ts";
import { type Delegation, inspectDelegation } from "../delegation/inspect.ts";
import { describeAddressChanges, listHosts } from "../delegation/summary-text.ts";
import { MigrationError } from "../errors.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import { MEDIA_MISSING, MEDIA_SPECIAL_FILES, MEDIA_UNREADABLE } from "../homeserver/media/accept-ids.ts";
import { readToken } from "../homeserver/people/notices/inputs.ts";
import { chooseSource } from "../homeserver/service/find/choose.ts";
import { findLaunches } from "../homeserver/service/find/find.ts";
import { assertParentFolder } from "../move/disk-space.ts";
import { DEFAULT_LINK } from "../move/outage/rehearsed.ts";
import { agendaOf } from "../move/plan/agenda.ts";
import { parseDate, roundedUp } from "../move/plan/dates.ts";
import { planDetails } from "../move/plan/details.ts";
import { inspectHost, lookAtHomeserver } from "../move/plan/look.ts";
import { planPage } from "../move/plan/page.ts";
import type { PlanQuestions } from "../move/plan/questions.ts";
import { readConfigOrFinding } from "../move/plan/read-config.ts";
import { planRedactor } from "../move/plan/redact.ts";
import { planText } from "../move/plan/text.ts";
import { timeFindings } from "../move/plan/time-findings.ts";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import { pageHtml } from "../report/html.ts";
import type { Json } from "../report/json.ts";
import type { ProgressView } from "../report/progress-view.ts";
import { parseDnsServer } from "../system/dns/dns.ts";
import type { Machine } from "../system/machine.ts";
import type { System } from "../system/system.ts";
import type { Command } from "./command.ts";
import { parseDatabaseAddress } from "./options/database.ts";
import { ACCEPT, CONFIG_OPTIONS, parseOptions, sizeOf, sizeText } from "./options/shared.ts";

const schema = z.object({
  ...CONFIG_OPTIONS.schema,
  deep: z.boolean().default(false),
  out: z.string().min(1).default("/srv/move"),
  split: z.string().transform(sizeText).optional(),
  newHost: z.string().min(1).default("root@new.example.org"),
  link: z.coerce.number().positive().max(1_000_000).optional(),
  when: z.string().transform(parseDate).optional(),
  target: z.url({ protocol: /^https?$/, error: "write a base address: https://new.example.org" }).optional(),
  targetDatabase: z.string().min(1).optional(),
  targetDatabasePasswordFile: z.string().min(1).optional(),
  targetUploadLimit: z
    .string()
    .transform((text) => sizeOf(text, "--target-upload-limit"))
    .optional(),
  url: z.url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8008" }).optional(),
  mediaRepo: z.url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8000" }).optional(),
  mediaRepoTokenFile: z.string().min(1).optional(),
  resolver: z.string().transform(parseDnsServer).optional(),
  html: z.string().min(1).optional(),
  redact: z.boolean().default(false),
  ...ACCEPT.schema,
});

type PlanOptions = z.infer<typeof schema>;

export const planCommand: Command<PlanOptions> = {
  name: "plan",
  summary:
    "Check before the move: whether it will work, how long the outage will be, what to do when. Changes nothing.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--deep",
          about: "also read every row and every file, to find duplicates, damage and changed media",
        },
        { flags: "--html <file>", about: "also write the plan as an HTML page" },
        { flags: "--redact", about: "redact names, so that the plan can be shared" },
        ACCEPT,
      ],
    },
    {
      heading: "The move",
      options: [
        {
          flags: "--when <date>",
          about: "when the move will start: '2026-12-01 02:00 UTC'",
          default: "as early as is safe",
        },
        { flags: "--link <mbit>", about: "megabits per second between the two hosts", default: "100" },
        { flags: "--out <folder>", about: "folder of the bundle", default: "/srv/move" },
        { flags: "--split <size>", about: "size of the parts of the bundle, such as 100m" },
        {
          flags: "--new-host <login>",
          about: "the new host as ssh takes it, for the commands",
          default: "root@new.example.org",
        },
      ],
    },
    {
      heading: "New server",
      options: [
        { flags: "--target <url>", about: "base address of the new server, if Synapse already runs there" },
        {
          flags: "--target-database <address>",
          about: "database on the new host, if this host can connect to it: 'host=… user=… dbname=…'",
        },
        { flags: "--target-database-password-file <file>", about: "file that contains only its password" },
        {
          flags: "--target-upload-limit <size>",
          about: "the largest upload that the new server accepts, such as 50m",
        },
      ],
    },
    {
      heading: "Old server",
      options: [
        { flags: "--url <url>", about: "base address of the old server", default: "its listeners" },
        { flags: "--media-repo <url>", about: "base address of the matrix-media-repo that stores the media" },
        {
          flags: "--media-repo-token-file <file>",
          about: "file that contains only an access token of one of its admins",
        },
        {
          flags: "--resolver <address>",
          about: "DNS server to query; its port is also used for the zones' own servers",
          default: "this host's",
        },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example:
    "synlift plan --target https://new.example.org --new-host root@new.example.org --html /root/plan.html",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const { machine, files } = system;
    const html = options.html === undefined ? undefined : resolve(machine.folder, options.html);
    if (html !== undefined) await assertParentFolder(html, "--html", files);
    const questions = await questionsOf(options, system);
    const launches = await findLaunches(system);
    const chosen = await chooseSource(
      launches,
      {
        configPaths: options.config,
        workingFolder: options.workingDirectory,
        map: options.map,
        databaseCommand: options.databaseCommand,
        masConfig: options.masConfig.map((path) => resolve(machine.folder, path)),
        folder: machine.folder,
      },
      files,
    );
    const { homeserver, findings: unread } = await readConfigOrFinding(chosen.source, files);
    const looked =
      homeserver &&
      (await lookAtHomeserver({ homeserver, launch: chosen.launch, launches }, questions, system, view));
    const address = homeserver && (await addressOf(homeserver, options, system, view));

    const now = machine.now();
    const safeFrom = address?.facts.safeFrom;
    const when = options.when ?? roundedUp(safeFrom ?? now);
    const times = { now, when, named: options.when !== undefined };
    const found = [
      ...chosen.findings,
      ...unread,
      ...(looked?.findings ?? (await inspectHost(undefined, questions, undefined, system))),
      ...(address?.findings ?? []),
      ...timeFindings(times, safeFrom),
    ];
    const findings = acceptWarnings(found, options.accept);
    const agenda =
      homeserver &&
      agendaOf({
        ...times,
        homeserver,
        launch: chosen.launch,
        workers: launches.workers,
        out: questions.out,
        newHost: options.newHost,
        split: options.split,
        accepted: options.accept.filter((id) =>
          [MEDIA_MISSING, MEDIA_SPECIAL_FILES, MEDIA_UNREADABLE].includes(id),
        ),
        address: address && describeAddressChanges(address.facts),
        estimate: looked?.estimate,
        blockers: findings.filter(({ level }) => level === "blocker").map(({ id }) => id),
        sqlite: homeserver.database.kind === "sqlite",
        rsync: (await system.programs.find("rsync")) !== undefined,
        version: looked?.version?.version.numbers.join("."),
        atRisk: looked?.people?.atRisk ?? 0,
        stoppedByHand: looked?.stoppedByHand ?? chosen.launch === undefined,
      });
    const serverName = homeserver?.serverName ?? "a homeserver";
    const shown = { serverName, looked, questions, findings, agenda, safeFrom, now };
    const names = options.redact
      ? planRedactor({ homeserver, looked, findings, hosts: hostNames(options, address?.facts, machine) })
      : undefined;
    const page = names ? names.page(planPage(shown)) : planPage(shown);
    const details = planDetails(shown, (address?.facts ?? null) as Json);
    if (html !== undefined) await files.writeAtomically(html, pageHtml(page));
    return {
      opening: planText(page, system.terminal),
      brief: true,
      findings: page.findings,
      details: names ? names.value(details) : details,
      lines: [page.verdict.sentence, ...(html === undefined ? [] : [`the plan as an HTML page: ${html}`])],
      failure: failureForFindings(findings),
    };
  },
};

async function questionsOf(options: PlanOptions, system: System): Promise<PlanQuestions> {
  const { machine, files } = system;
  const { targetDatabase, targetDatabasePasswordFile, mediaRepo, mediaRepoTokenFile } = options;
  if ((mediaRepo === undefined) !== (mediaRepoTokenFile === undefined))
    throw new MigrationError("bad-usage", "--media-repo and --media-repo-token-file require each other", {
      hint: "only its admins can read its usage: give both",
    });
  const token =
    mediaRepoTokenFile === undefined
      ? ""
      : await readToken(resolve(machine.folder, mediaRepoTokenFile), files);
  return {
    deep: options.deep,
    target: options.target,
    targetDatabase:
      targetDatabase === undefined
        ? undefined
        : await parseDatabaseAddress(targetDatabase, targetDatabasePasswordFile, system, "--target-database"),
    url: options.url,
    uploadLimit: options.targetUploadLimit,
    mediaRepo: mediaRepo === undefined ? undefined : { url: mediaRepo, token },
    out: resolve(machine.folder, options.out),
    link: options.link === undefined ? DEFAULT_LINK : (options.link * 1e6) / 8,
    linkNamed: options.link !== undefined,
  };
}

function addressOf(
  { serverName, settings }: Homeserver,
  { resolver }: PlanOptions,
  { dns, http, machine, signal }: System,
  view: ProgressView,
): Promise<Delegation> {
  const base = settings["public_baseurl"];
  return inspectDelegation(
    { serverName, ...(typeof base === "string" ? { publicBaseUrl: base } : {}) },
    { dns: resolver ? dns.withResolver(resolver) : dns, http, machine, signal },
    view,
  );
}

/** Other host names in a plan, with their kind, to be redacted. */
function hostNames(
  { newHost, target }: PlanOptions,
  address: DelegationFacts | undefined,
  { hostname }: Machine,
): (readonly [kind: string, name: string])[] {
  const others = [newHost.replace(/^.*@/, ""), ...(target === undefined ? [] : [new URL(target).hostname])];
  return [
    ["this-host", hostname],
    ...others.map((host) => ["new-host", host] as const),
    ...(address ? listHosts(address) : []).map((host) => ["host", host] as const),
  ];
}
