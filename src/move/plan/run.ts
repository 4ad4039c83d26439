import type { DelegationFacts } from "../../delegation/facts.ts";
import { type Delegation, inspectDelegation } from "../../delegation/inspect.ts";
import { describeAddressChanges, listHosts } from "../../delegation/summary-text.ts";
import type { MigrationError } from "../../errors.ts";
import { OBSTACLE_IDS } from "../../homeserver/database/checks/obstacles.ts";
import { SCHEMA_TRIAL } from "../../homeserver/database/trial/run.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { MEDIA_MISSING, MEDIA_SPECIAL_FILES, MEDIA_UNREADABLE } from "../../homeserver/media/accept-ids.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import { acceptWarnings, failureForFindings } from "../../report/accept.ts";
import { pageHtml } from "../../report/html.ts";
import type { Page } from "../../report/page.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { assertParentFolder } from "../disk-space.ts";
import { agendaOf } from "./agenda.ts";
import { roundedUp } from "./dates.ts";
import { planDetails } from "./details.ts";
import { inspectHost, lookAtHomeserver } from "./look.ts";
import { planPage } from "./page.ts";
import type { PlanQuestions } from "./questions.ts";
import { readConfigOrFinding } from "./read-config.ts";
import { planRedactor } from "./redact.ts";
import { timeFindings } from "./time-findings.ts";

export interface PlanOrder {
  /** Where the configuration is, as far as it was given. */
  readonly given: GivenSource;
  readonly questions: PlanQuestions;
  /** When the move will start, in milliseconds since 1970; undefined for as early as is safe. */
  readonly when: number | undefined;
  /** The new host as ssh takes it, for the commands. */
  readonly newHost: string;
  /** Size of the parts of the bundle as --split takes it, for the commands. */
  readonly split: string | undefined;
  /** The DNS server to query; undefined for this host's. */
  readonly resolver: Parameters<System["dns"]["withResolver"]>[0] | undefined;
  /** File for the plan as an HTML page, absolute. */
  readonly html: string | undefined;
  /** Redact names, so that the plan can be shared. */
  readonly redacted: boolean;
  readonly accepted: readonly string[];
}

/** The plan, with names redacted if that was ordered. No secrets. */
export interface PlanResult {
  readonly page: Page;
  /** For scripts. */
  readonly details: ReturnType<typeof planDetails>;
  /** `found-blockers` or `found-warnings`; undefined when the move will work as it is. */
  readonly failure: MigrationError | undefined;
}

/** Finding ids that an export must be given again when they were accepted here. */
const ACCEPTED_BY_EXPORT: readonly string[] = [
  MEDIA_MISSING,
  MEDIA_SPECIAL_FILES,
  MEDIA_UNREADABLE,
  ...OBSTACLE_IDS,
  SCHEMA_TRIAL,
];

/**
 * Inspects the homeserver, its address and this host, and plans the move. Changes nothing but the HTML page that was
 * ordered. What cannot be inspected becomes a finding; throws only what prevents all of it: `config-unreadable` when no
 * server or several are found, and what writing the page throws.
 */
export async function planMove(order: PlanOrder, system: System, progress: Progress): Promise<PlanResult> {
  const { machine, files } = system;
  const { questions, accepted, html } = order;
  if (html !== undefined) await assertParentFolder(html, "--html", files);
  const launches = await findLaunches(system);
  const chosen = await chooseSource(launches, order.given, files);
  const { launch } = chosen;
  const { homeserver, findings: configFindings } = await readConfigOrFinding(chosen.source, files);
  const looked =
    homeserver && (await lookAtHomeserver({ homeserver, launch, launches }, questions, system, progress));
  const delegation = homeserver && (await delegationOf(homeserver, order, system, progress));

  const now = machine.now();
  const safeFrom = delegation?.facts.safeFrom;
  const times = { now, when: order.when ?? roundedUp(safeFrom ?? now), named: order.when !== undefined };
  const findings = acceptWarnings(
    [
      ...chosen.findings,
      ...configFindings,
      ...(looked?.findings ?? (await inspectHost(undefined, questions, undefined, system))),
      ...(delegation?.findings ?? []),
      ...timeFindings(times, safeFrom),
    ],
    accepted,
  );
  const address = delegation && describeAddressChanges(delegation.facts, times.when);
  const agenda =
    homeserver &&
    agendaOf({
      now: times.now,
      when: times.when,
      named: times.named,
      homeserver,
      launch,
      workers: launches.workers,
      out: questions.out,
      newHost: order.newHost,
      split: order.split,
      accepted: accepted.filter((id) => ACCEPTED_BY_EXPORT.includes(id)),
      address,
      estimate: looked?.estimate,
      blockers: findings.filter(({ level }) => level === "blocker").map(({ id }) => id),
      sqlite: homeserver.database.kind === "sqlite",
      version: looked?.version?.version.numbers.join("."),
      atRisk: looked?.people?.atRisk ?? 0,
      stoppedByHand: looked?.stoppedByHand ?? launch === undefined,
    });
  const serverName = homeserver?.serverName ?? "a homeserver";
  const shown = {
    serverName,
    looked,
    questions,
    findings,
    agenda,
    safeFrom,
    calendar: address?.calendar,
    now,
  };
  const redactor = order.redacted
    ? planRedactor({ homeserver, looked, findings, hosts: hostNames(order, delegation?.facts, system) })
    : undefined;
  const plain = planPage(shown);
  const page = redactor ? redactor.page(plain) : plain;
  const details = planDetails(shown, delegation?.facts);
  if (html !== undefined) await files.writeAtomically(html, pageHtml(page));
  return {
    page,
    details: redactor ? redactor.value(details) : details,
    failure: failureForFindings(findings),
  };
}

function delegationOf(
  { serverName, settings }: Homeserver,
  { resolver }: PlanOrder,
  { dns, http, machine, signal }: System,
  progress: Progress,
): Promise<Delegation> {
  const base = settings["public_baseurl"];
  return inspectDelegation(
    { serverName, ...(typeof base === "string" ? { publicBaseUrl: base } : {}) },
    { dns: resolver ? dns.withResolver(resolver) : dns, http, machine, signal },
    progress,
  );
}

/** Other host names in a plan, with their kind, to be redacted. */
function hostNames(
  { newHost, questions: { target } }: PlanOrder,
  address: DelegationFacts | undefined,
  { machine }: System,
): (readonly [kind: string, name: string])[] {
  const others = [newHost.replace(/^.*@/, ""), ...(target === undefined ? [] : [new URL(target).hostname])];
  return [
    ["this-host", machine.hostname],
    ...others.map((host) => ["new-host", host] as const),
    ...(address ? listHosts(address) : []).map((host) => ["host", host] as const),
  ];
}
