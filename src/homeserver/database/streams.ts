import type { DatabaseSection } from "./section.ts";

/** Columns that hold values of one sequence. */
interface Numbered {
  /** The stream's name in stream_positions; undefined where the sequence numbers no stream. */
  readonly stream?: string;
  /** Table and column of each. */
  readonly columns: readonly (readonly [table: string, column: string])[];
  /** Its values are stored negative: backfilled events count downwards. */
  readonly negative?: true;
}

const EVENTS: Numbered["columns"] = [
  ["events", "stream_ordering"],
  ["ex_outlier_stream", "event_stream_ordering"],
];

/**
 * What Synapse numbers by each sequence that does not belong to a column: PostgreSQL's catalogue does not say it. As the
 * stores give it to `MultiWriterIdGenerator` and `build_sequence_generator` (synapse/storage). A sequence of a later
 * version is found by its name: see `numberedBy`.
 */
const NUMBERED: Readonly<Record<string, Numbered>> = {
  account_data_sequence: {
    stream: "account_data",
    columns: [
      ["room_account_data", "stream_id"],
      ["room_tags_revisions", "stream_id"],
      ["account_data", "stream_id"],
    ],
  },
  application_services_txn_id_seq: { columns: [["application_services_txns", "txn_id"]] },
  cache_invalidation_stream_seq: {
    stream: "caches",
    columns: [["cache_invalidation_stream_by_instance", "stream_id"]],
  },
  device_inbox_sequence: {
    stream: "to_device",
    columns: [
      ["device_inbox", "stream_id"],
      ["device_federation_outbox", "stream_id"],
    ],
  },
  device_lists_sequence: {
    stream: "device_lists_stream",
    columns: [
      ["device_lists_stream", "stream_id"],
      ["user_signature_stream", "stream_id"],
      ["device_lists_outbound_pokes", "stream_id"],
      ["device_lists_changes_in_room", "stream_id"],
      ["device_lists_remote_pending", "stream_id"],
      ["device_lists_changes_converted_stream_position", "stream_id"],
    ],
  },
  e2e_cross_signing_keys_sequence: {
    stream: "e2e_cross_signing_keys",
    columns: [["e2e_cross_signing_keys", "stream_id"]],
  },
  event_auth_chain_id: { columns: [["event_auth_chains", "chain_id"]] },
  events_backfill_stream_seq: { stream: "backfill", columns: EVENTS, negative: true },
  events_stream_seq: {
    stream: "events",
    columns: [...EVENTS, ["current_state_delta_stream", "stream_id"]],
  },
  presence_stream_sequence: { stream: "presence_stream", columns: [["presence_stream", "stream_id"]] },
  push_rules_stream_sequence: { stream: "push_rules_stream", columns: [["push_rules_stream", "stream_id"]] },
  pushers_sequence: {
    stream: "pushers",
    columns: [
      ["pushers", "id"],
      ["deleted_pushers", "stream_id"],
    ],
  },
  quarantined_media_id_seq: {
    stream: "quarantined_media",
    columns: [["quarantined_media_changes", "stream_id"]],
  },
  receipts_sequence: { stream: "receipts", columns: [["receipts_linearized", "stream_id"]] },
  state_group_id_seq: { columns: [["state_groups", "id"]] },
  // Numbers the accounts of people who chose no name: Synapse looks for the highest one itself.
  user_id_seq: { columns: [] },
};

/**
 * What a sequence numbers, by its name without schema. One that is not known is taken as Synapse names the newer ones:
 * `thread_subscriptions_sequence` numbers `stream_id` of the table `thread_subscriptions`, the stream of that name.
 */
export function numberedBy(sequence: string): Numbered {
  const known = NUMBERED[sequence];
  if (known) return known;
  const stem = sequence.replace(/_(?:sequence|seq)$/, "");
  return { stream: stem, columns: [[stem, "stream_id"]] };
}

/** The sequences whose columns are known. */
export const NUMBERED_SEQUENCES = Object.keys(NUMBERED);

const SEQUENCE_OF_STREAM: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(NUMBERED).flatMap(([name, { stream }]) => (stream === undefined ? [] : [[stream, name]])),
);

export interface StreamAhead {
  readonly stream: string;
  /** The stream's position, as text. */
  readonly position: string;
  /** With its schema: "public.events_stream_seq". */
  readonly sequence: string;
  /** The last value that was handed out. */
  readonly last: string;
}

/** Streams that are ahead of their sequence: Synapse refuses to start then (synapse/storage/util/sequence.py, `check_consistency`). */
export function streamsAhead(
  streams: Readonly<Record<string, string>>,
  sequences: DatabaseSection["sequences"],
): StreamAhead[] {
  return Object.entries(streams).flatMap(([stream, position]) => {
    const name = SEQUENCE_OF_STREAM[stream] ?? `${stream}_sequence`;
    const found = Object.entries(sequences).find(([full]) => full.endsWith(`.${name}`));
    if (found === undefined) return [];
    const last = BigInt(found[1].last) - (found[1].called ? 0n : 1n);
    return BigInt(position) > last ? [{ stream, position, sequence: found[0], last: last.toString() }] : [];
  });
}

export const describeAhead = ({ stream, position, sequence, last }: StreamAhead) =>
  `${stream} is at ${position}, its sequence ${sequence.split(".").at(-1)!} only at ${last}`;
