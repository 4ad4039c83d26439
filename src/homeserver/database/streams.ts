import type { DatabaseSection } from "./section.ts";

/** Which sequence a stream is numbered by (synapse/storage/util/id_generators.py and the stores that use it). */
const SEQUENCE_OF_STREAM: Readonly<Record<string, string>> = {
  account_data: "account_data_sequence",
  backfill: "events_backfill_stream_seq",
  caches: "cache_invalidation_stream_seq",
  device_lists_stream: "device_lists_sequence",
  e2e_cross_signing_keys: "e2e_cross_signing_keys_sequence",
  events: "events_stream_seq",
  presence_stream: "presence_stream_sequence",
  push_rules_stream: "push_rules_stream_sequence",
  pushers: "pushers_sequence",
  quarantined_media: "quarantined_media_id_seq",
  receipts: "receipts_sequence",
  to_device: "device_inbox_sequence",
};

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
