import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes, formatCount } from "../../../report/units.ts";
import type { Homeserver } from "../../homeserver.ts";
import type { Amount, MediaFacts } from "../facts.ts";

/** How much there is, of each kind. */
export function sizeFindings(
  { kinds, packed, store }: MediaFacts,
  { serverName }: Pick<Homeserver, "serverName">,
): Finding[] {
  if (!kinds && !packed) return [];
  const about = packed?.exact ? "" : "about ";
  return [
    {
      id: "media-size",
      level: "ok",
      sentence: packed
        ? `local media of ${serverName} in ${store}: ${about}${sized(packed)} to be packed`
        : `the database knows ${sized(kinds!.localUploads)} of ${serverName} as uploads`,
      evidence: kinds
        ? [
            `uploads: ${sized(kinds.localUploads)}, of which quarantined: ${formatCount(kinds.quarantinedLocal)}`,
            `their thumbnails: ${sized(kinds.localThumbnails)}`,
            `media of other servers: ${sized(kinds.remoteMedia)}; thumbnails: ${sized(kinds.remoteThumbnails)}`,
            `URL previews: ${sized(kinds.urlPreviews)}; thumbnails: ${sized(kinds.urlPreviewThumbnails)}`,
            `ids reserved for uploads that have not come: ${formatCount(kinds.pending)}`,
          ]
        : [],
    },
  ];
}

/** The largest upload, and whether the target would take it. */
export function largestFindings(
  { largest }: MediaFacts,
  tooLarge: number,
  limit: number | undefined,
): Finding[] {
  const [first] = largest;
  if (!first) return [];
  const sentence = `the largest upload, ${first.mediaId}, has ${formatBytes(first.bytes)}`;
  if (limit === undefined || tooLarge === 0) {
    const under = limit === undefined ? "" : `; the target takes ${formatBytes(limit)}`;
    return [{ id: "media-largest", level: "ok", sentence: `${sentence}${under}` }];
  }
  return [
    {
      id: "media-largest",
      level: "warning",
      sentence: `uploads larger than the ${formatBytes(limit)} that the target takes: ${formatCount(tooLarge)}; ${sentence}`,
      evidence: largest
        .filter(({ bytes }) => bytes > limit)
        .map(({ mediaId, bytes }) => `${mediaId}: ${formatBytes(bytes)}`),
      hint: "have the target's limit raised before the move: max_upload_size in Synapse, uploads.maxBytes in matrix-media-repo, which aborts an import at the first file over it",
    },
  ];
}

/** Whether something else than this Synapse process keeps the media. Facts that are null are not known. */
export function externalMediaFindings(
  { settings }: Pick<Homeserver, "settings">,
  { compared, kinds, mediaRepo, packed }: Pick<MediaFacts, "compared" | "kinds" | "mediaRepo" | "packed">,
): Finding[] {
  if (settings["enable_media_repo"] !== false) return [];
  const here = compared !== null && packed !== null && packed.files > 0 && compared.missing === 0;
  const elsewhere = mediaRepo !== null && mediaRepo.media.files > 0;
  if (here && !elsewhere && kinds !== null && kinds.localUploads.files > 0) {
    return [
      {
        id: "media-external",
        level: "note",
        sentence:
          "enable_media_repo is off, but every upload is in the media store: a worker of Synapse serves the media",
      },
    ];
  }
  if (mediaRepo) {
    return [
      {
        id: "media-external",
        level: "note",
        sentence: "enable_media_repo is off: matrix-media-repo stores the media",
        hint: "synlift media export fetches it, for restore --media-archive",
      },
    ];
  }
  return [
    {
      id: "media-external",
      level: "warning",
      sentence: "enable_media_repo is off: a worker or another program stores the media",
      hint: "if it is a worker of Synapse, its media is in media_store_path; from matrix-media-repo, synlift media export fetches it; anything else must be moved separately",
    },
  ];
}

const sized = ({ files, bytes }: Amount) => `${formatAmount(files, "files")}, ${formatBytes(bytes)}`;
