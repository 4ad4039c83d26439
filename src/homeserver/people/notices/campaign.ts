import { createHash } from "node:crypto";
import type { JsonBody } from "../../../system/http/http.ts";

/** One text that people get once. Another text is another campaign: whoever got the first gets the second too. */
export interface Campaign {
  readonly id: string;
  readonly text: string;
}

/** A custom field in the event's content: by it the server's database shows who received the notice. Clients ignore it. */
export const NOTICE_KEY = "synlift.notice";

export function campaignOf(text: string): Campaign {
  const trimmed = text.trim();
  return { id: digest(trimmed), text: trimmed };
}

/** What is handed to the server for one person. */
export const noticeBody = ({ id, text }: Campaign, userId: string): JsonBody => ({
  user_id: userId,
  content: { msgtype: "m.text", body: text, [NOTICE_KEY]: id },
});

/** The same whenever the same person is sent the same text: Synapse answers a repetition with the first event. */
export const transactionId = ({ id }: Campaign, userId: string) => `synlift-${digest(`${id} ${userId}`)}`;

const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 32);
