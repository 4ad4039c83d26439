// What the journal of a move records besides its finished steps. All times are ISO 8601.

/** When the outage started; removed when the old server runs again. */
export const OUTAGE_SINCE = "outageSince";

/** Set for a direct transfer, whose artifacts are on another host. */
export const SENT_DIRECTLY = "road";

/** When the new host had received everything. */
export const HANDED_OVER = "handedOver";

/**
 * The time from which everything that a new server needs has been sent, or may have been. Written before the new host is
 * told, and removed when the old server runs again.
 */
export const ALL_SENT = "complete";
