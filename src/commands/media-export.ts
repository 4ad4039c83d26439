import { resolve } from "node:path";
import { z } from "zod";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import { formatAmount, formatBytes } from "../report/units.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { Command } from "./command.ts";
import { ACCEPT, DRY_RUN, parseOptions, TRACE } from "./options/shared.ts";

const schema = z.object({
  mediaRepo: z
    .url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8000" })
    .refine((text) => !URL.canParse(text) || new URL(text).password + new URL(text).username === "", {
      error: "write it without a name and a password",
    }),
  tokenFile: z.string().min(1),
  server: z.string().regex(/^[A-Za-z0-9.:[\]-]{1,255}$/, "is not a server name"),
  out: z.string().min(1),
  leaveOut: z.string().min(1).optional(),
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

export const mediaExportCommand: Command<z.infer<typeof schema>> = {
  name: "media export",
  summary:
    "Fetch a server's media from matrix-media-repo as an archive for restore. Run it again to continue.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--media-repo <url>",
          about: "base address of matrix-media-repo: http://127.0.0.1:8000",
          required: true,
        },
        {
          flags: "--token-file <file>",
          about: "file that contains only the access token of one of its `admins`, or its shared secret",
          required: true,
        },
        {
          flags: "--server <name>",
          about: "server name of the media: the part after the colon in user IDs",
          required: true,
        },
        {
          flags: "--out <folder>",
          about: "new folder for the archive, readable only by you: the media in it is not encrypted",
          required: true,
        },
        DRY_RUN,
        ACCEPT,
        TRACE,
      ],
    },
    {
      heading: "Other options",
      options: [
        {
          flags: "--leave-out <file>",
          about:
            "list of MXC URIs, a line each, that are not wanted: such as the images of its URL previews, which it stores as uploads of people",
        },
      ],
    },
  ],
  example:
    "synlift media export --media-repo http://127.0.0.1:8000 --token-file /root/media.token --server example.org --out /srv/media-archive",
  parse: (given) => parseOptions(schema, given),

  async run({ mediaRepo, tokenFile, server, out, leaveOut: list, accept, dryRun }, system, view) {
    const [{ exportMediaRepo, inspectMediaRepo }, { readLeaveOut }, { readToken }] = await Promise.all([
      import("../homeserver/media/media-repo/export.ts"),
      import("../homeserver/media/media-repo/leave-out.ts"),
      import("../homeserver/people/notices/inputs.ts"),
    ]);
    const { folder: here } = system.machine;
    const token = await readToken(resolve(here, tokenFile), system.files);
    const folder = resolve(here, out);
    const leaveOut =
      list === undefined ? new Set<string>() : await readLeaveOut(resolve(here, list), server, system.files);
    const asked = { repo: { url: mediaRepo, token }, serverName: server, folder, leaveOut };
    const {
      held,
      archive,
      findings: found,
    } = await (dryRun ? inspectMediaRepo(asked, system) : exportMediaRepo(asked, system, view));
    const findings = acceptWarnings(found, accept);
    const failure = failureForFindings(findings);
    return {
      findings,
      details: { serverName: server, folder, held: { ...held }, archive: archive ?? null },
      lines: archive
        ? [
            `${folder} holds ${formatAmount(archive.uploads, "files")} of ${server}, ${formatBytes(archive.bytes)}, not encrypted`,
            `for restore: --media-archive ${quoteShellWord(folder)}`,
          ]
        : ["nothing was changed"],
      failure,
    };
  },
};
