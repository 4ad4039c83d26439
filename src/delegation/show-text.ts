import { type DisplayOptions, noteText, sectionText } from "../report/text.ts";
import { tableText } from "../report/table.ts";
import { formatDuration } from "../report/units.ts";
import type { AddressFact, DelegationFacts, WellKnownFact } from "./facts.ts";

/** How clients and other servers find the homeserver, step by step, as text for people. */
export function delegationText(facts: DelegationFacts, look: DisplayOptions): string {
  const sections = [
    sectionText("How other servers find it", federationText(facts, look), look),
    sectionText("How clients find it", clientText(facts, look), look),
    sectionText("Certificates", certificatesText(facts, look), look),
    sectionText("Well-known files", filesText(facts, look), look),
    sectionText("DNS records", recordsText(facts, look), look),
    sectionText("Who may issue certificates (CAA)", caaText(facts, look), look),
  ];
  return sections.filter((section) => section !== "").join("\n");
}

function federationText({ steps, federation }: DelegationFacts, look: DisplayOptions): string {
  if (steps.length === 0) return "";
  const outcomes = { taken: "decides", passed: "next step", stopped: "ends here" } as const;
  const walk = tableText(
    [{ name: "step" }, { name: "asked" }, { name: "answer" }, { name: "outcome" }],
    steps.map(({ id, asked, answer, outcome }) => [id, asked, answer, outcomes[outcome]]),
    look,
  );
  if (!federation) return walk;
  const { hostHeader, sni, certificateName, published } = federation;
  const keys = Object.entries(published?.verifyKeys ?? {}).map(([id, key]) => `${id} ${key}`);
  return [
    walk,
    noteText(
      `Host header ${hostHeader}, SNI ${sni ?? "none"}, certificate for ${certificateName}` +
        (published ? `; signs as ${published.serverName} with ${keys.join(", ")}` : ""),
      look,
    ),
    addressTable(federation.addresses, look),
  ].join("");
}

function clientText({ client, wellKnown }: DelegationFacts, look: DisplayOptions): string {
  const file = wellKnown.client;
  if (!client)
    return noteText(
      `no base URL: ${file?.problem ?? "there is no well-known file for clients"}${file ? ` (${file.url})` : ""}`,
      look,
    );
  const origin = client.source === "well-known" ? (file?.url ?? "") : "public_baseurl of the configuration";
  return `${noteText(`${client.baseUrl}, from ${origin}`, look)}${addressTable(client.addresses, look)}`;
}

function addressTable(addresses: readonly AddressFact[], look: DisplayOptions): string {
  if (addresses.length === 0) return noteText("it has no address", look);
  const states = {
    answers: "answers",
    unanswered: "does not answer",
    untried: "not asked",
    private: "private, not followed",
  } as const;
  return tableText(
    [{ name: "host" }, { name: "address" }, { name: "port", align: "right" }, { name: "result" }],
    addresses.map(({ host, address, port, state, problem }) => [
      host,
      address,
      String(port),
      `${states[state]}${problem === undefined ? "" : `: ${problem}`}`,
    ]),
    look,
  );
}

function certificatesText({ federation, client }: DelegationFacts, look: DisplayOptions): string {
  const rows = [...(federation?.addresses ?? []), ...(client?.addresses ?? [])].flatMap(
    ({ address, port, certificate }) => {
      if (!certificate) return [];
      const { names, issuer, validTo, trusted, distrust, fits } = certificate;
      const state = trusted ? (fits ? "valid" : "for other names") : (distrust ?? "not trusted");
      return [[`${address} ${port}`, names.join(", "), issuer, dateText(validTo), state]];
    },
  );
  if (rows.length === 0) return "";
  const unique = [...new Map(rows.map((row) => [row.join("\n"), row])).values()];
  return tableText(
    [{ name: "address" }, { name: "names" }, { name: "issuer" }, { name: "expires" }, { name: "state" }],
    unique,
    look,
  );
}

function filesText({ wellKnown }: DelegationFacts, look: DisplayOptions): string {
  const [server, client] = [wellKnown.server, wellKnown.client];
  const present = wellKnown.others.filter(({ state }) => state === "valid" || state === "broken");
  const files = [server, client, ...present].filter((file) => file !== undefined);
  const missing = wellKnown.others.filter((file) => !present.includes(file)).map(({ url }) => url);
  return [
    ...files.map((file) => fileText(file, look)),
    ...(missing.length === 0 ? [] : [noteText(`not there: ${missing.join(", ")}`, look)]),
  ].join("");
}

function fileText(file: WellKnownFact, look: DisplayOptions): string {
  const {
    url,
    state,
    value,
    problem,
    cacheControl,
    cacheSeconds,
    cors,
    redirects,
    addresses,
    keys = [],
  } = file;
  const lines = [
    `${url}: ${state === "valid" ? (value ?? "it is there") : `${state}${problem === undefined ? "" : `, ${problem}`}`}`,
    ...(keys.length > 0 ? [`  with ${keys.join(", ")}`] : []),
    ...redirects.map(
      ({ status, to, cors: allowed }) => `  status ${status} to ${to}${allowed ? "" : ", without CORS"}`,
    ),
    `  Cache-Control: ${cacheControl ?? "none"}${cacheSeconds === undefined ? "" : `, so it may be cached for ${formatDuration(cacheSeconds)}`}`,
    ...(cors === undefined ? [] : [`  CORS: ${cors ? "clients in browsers may read it" : "missing"}`]),
    ...(addresses.length > 0 ? [`  served from ${addresses.join(", ")}`] : []),
  ];
  return lines.map((line) => noteText(line, look)).join("");
}

function recordsText({ records, negative }: DelegationFacts, look: DisplayOptions): string {
  if (records.length === 0 && negative.length === 0) return "";
  const table = tableText(
    [
      { name: "name" },
      { name: "TTL", align: "right" },
      { name: "type" },
      { name: "value" },
      { name: "changes" },
      { name: "from" },
    ],
    records.map(({ name, ttl, type, value, moves, from, authoritative }) => [
      name,
      String(ttl),
      type,
      value,
      moves ? "yes" : "",
      `${from}${authoritative ? "" : ", a cache"}`,
    ]),
    look,
  );
  const absent = negative.map(({ zone, seconds }) => `${zone} ${formatDuration(seconds)}`);
  const note = `"changes": a move changes this record. That a record does not exist is cached for: ${absent.join(", ")}.`;
  return `${records.length > 0 ? table : ""}${absent.length > 0 ? noteText(note, look) : ""}`;
}

function caaText({ caa }: DelegationFacts, look: DisplayOptions): string {
  return caa
    .map(({ name, at, records }) =>
      noteText(at === undefined ? `${name}: anybody` : `${name}: ${records.join(", ")} (at ${at})`, look),
    )
    .join("");
}

const dateText = (milliseconds: number) => new Date(milliseconds).toISOString().slice(0, 10);
