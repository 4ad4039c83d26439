import type { StreamReply } from "../../system/http/stream-server.ts";

/** What the page in the browser consists of, by path. */
export const PAGE_FILES: ReadonlyMap<string, StreamReply> = new Map();
