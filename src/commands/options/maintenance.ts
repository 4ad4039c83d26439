import { z } from "zod";
import { optionGroup } from "../command.ts";

/** What clients are told while the server is down. */
export const MAINTENANCE_OPTIONS = optionGroup({
  heading: "Answer",
  options: [
    {
      flags: "--retry-after <seconds>",
      about: "when clients and servers should ask again",
      default: "60",
    },
    {
      flags: "--message <sentence>",
      about: "what people may see",
      default: "This server is being moved. It will be back soon.",
    },
  ],
  schema: {
    retryAfter: z.coerce.number().int().min(1).max(86_400).default(60),
    message: z.string().min(1).max(500).default("This server is being moved. It will be back soon."),
  },
  read: ({ retryAfter, message }) => ({ retryAfter, message }),
});
