/**
 * What a database holds of a homeserver: all there is, or all but the state groups; or, where `databases` gives them
 * one of their own, these alone (synapse/config/database.py, `data_stores`).
 */
export type Store = "main" | "state";

/** For sentences about one of two databases. */
export const storeWords = (store: Store) => (store === "state" ? "the state database" : "the database");
