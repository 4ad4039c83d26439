import { z } from "zod";

/** What the record keeps of a web server's file: its text, null where there was none, and the commands that it is read with. */
const beforeSchema = z.object({ text: z.string().nullable(), test: z.string(), reload: z.string() });

type WebServerBefore = z.infer<typeof beforeSchema>;

/** As the record has it. */
export const webServerBeforeText = (before: WebServerBefore): string => JSON.stringify(before);

/** The inverse, of a record that was read. */
export const parseWebServerBefore = (before: string | null): WebServerBefore =>
  beforeSchema.parse(JSON.parse(before ?? ""));

export const isWebServerBefore = (before: string | null): boolean => {
  try {
    return beforeSchema.safeParse(JSON.parse(before ?? "")).success;
  } catch {
    return false;
  }
};
