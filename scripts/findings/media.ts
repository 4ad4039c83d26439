import type { FindingArea } from "./meaning.ts";

export const MEDIA: FindingArea = {
  page: "media",
  title: "Media",
  about:
    "What is said of uploads, of media of other servers, of storage providers and of matrix-media-repo, before the move and after it.",
  findings: {
    "media-store": {
      means:
        "Whether the media store is a folder that can be used. Synapse silently creates a missing one and then answers 404 for every upload. It is a warning when the folder holds no upload although the database has some; as a gate of `open`, the path must be where the media was restored.",
      known: "The folder that `media_store_path` names is opened, and compared with the database.",
      clears: "Correct `media_store_path`, or the working directory where relative paths start.",
      accepts: ["open"],
    },
    "media-file-system": {
      means:
        "The media store is in memory, which a restart loses, or on another host's disk, which takes longer to pack.",
      known: "The kernel names the type of the file system.",
      clears: "Nothing is to be done for the move itself.",
    },
    "media-case": {
      means:
        "The file system of the media store ignores the case of names, so uploads whose ids differ in case alone overwrite each other.",
      known:
        "A file that is there is asked for by its name in the other case; such ids are counted in the database.",
      clears: "Use a case-sensitive file system for the new host's media store.",
    },
    "media-size": {
      means: "How much media there is of each kind, and how much is packed.",
      known: "From the database, and from the files where these are counted.",
    },
    "media-largest": {
      means: "How large the largest upload is, and whether it is larger than the new host takes.",
      known: "From the database, compared with `--target-upload-limit` where it is given.",
      clears:
        "Have the limit raised before the move: `max_upload_size` in Synapse, `uploads.maxBytes` in matrix-media-repo.",
    },
    "media-compared": {
      means: "Every upload has its file, with the size that its row has.",
      known:
        "All rows of uploads are compared with the files; with `--deep` or `media check`, hashes too, as the evidence says.",
    },
    "media-missing": {
      means:
        "Uploads have a row in the database and no file. A note says that they were missing on the old host already, or may be in a storage provider that cannot be read from here.",
      known:
        "All rows of uploads are compared with the files of the media store, or read from the record in the bundle.",
      clears: "Restore the files from a backup. If they are lost, continue without them by accepting it.",
      accepts: ["export"],
    },
    "media-differing": {
      means: "Uploads have a file of another size or with another hash than their row says.",
      known: "Sizes are compared with the rows; hashes where the files were read.",
      clears:
        "Put the files back from a backup. If they are lost, `export --accept media-missing` goes on where the size differs.",
    },
    "media-changed": {
      means: "Files of uploads had another hash than their rows on the old host already.",
      known: "The export hashed each file and recorded it in the bundle.",
      clears: "Nothing is to be done for the move; a backup may have the right files.",
    },
    "media-unreadable": {
      means:
        "Files or folders in the media store cannot be read, so an export could not pack them. A note says that this was accepted on the old host.",
      known: "The whole media store is walked through.",
      clears:
        "Run synlift as root. If it is root already, look for disk errors in the kernel's log, and accept what is lost.",
      accepts: ["export"],
    },
    "media-special-files": {
      means:
        "The media store has symbolic links or other special files, or names that are not UTF-8. They are not packed.",
      known: "The whole media store is walked through.",
      clears: "Replace links by copies of what they point to, or leave them out by accepting it.",
      accepts: ["export"],
    },
    "media-unknown-files": {
      means: "Files in the media store belong to no upload. They are packed with the others.",
      known: "Paths of files are compared with the rows of uploads.",
      clears: "Nothing is to be done.",
    },
    "media-check-incomplete": {
      means: "Media could not be checked completely, and an export would fail in the same way.",
      known: "A query or the reading of a folder failed; the sentence has the reason.",
      clears: "Fix the cause, then run `plan` again.",
    },
    "media-provider": {
      means:
        "Media is kept in storage providers too. Files that only a provider has are packed from there, if synlift can read it.",
      known: "From `media_storage_providers`; only the names are shown, never keys.",
      clears:
        "The new host needs the same Python modules and access to the storage, or remove the setting there.",
    },
    "media-in-provider": {
      means: "Uploads that only a storage provider has, and that are packed from there.",
      known: "Uploads without a file in the media store are looked for in the provider.",
    },
    "media-external": {
      means:
        "Something else than this Synapse process keeps or serves the media: `enable_media_repo` or `enable_local_media_storage` is off. It is a note where a worker or matrix-media-repo was found to have it.",
      known: "From the settings, compared with the files and with matrix-media-repo where it was named.",
      clears:
        "A worker's media is in `media_store_path` and is packed. `media export` fetches it from matrix-media-repo. For anything else, move it separately, then accept the warning.",
    },
    "media-repo": {
      means: "How much matrix-media-repo holds of this server, or why it could not be asked.",
      known: "Its administration API is asked with the token given.",
      clears: "Correct the URL and the token. A bundle does not hold this media: `media export` fetches it.",
    },
    "media-repo-compared": {
      means: "How many uploads in the archive have the size and the hash that matrix-media-repo recorded.",
      known: "Each file in the archive is hashed and compared with the listing.",
    },
    "media-repo-differing": {
      means:
        "Uploads in the archive do not have the size or the hash that matrix-media-repo recorded: they are damaged in its datastore.",
      known: "Each file in the archive is hashed and compared with the listing.",
      clears:
        "Put them back into the datastore from a backup and run the command again, or accept them as they are.",
    },
    "media-archive-short": {
      means: "matrix-media-repo holds uploads that are not in the archive.",
      known: "The archive is compared with the listing.",
      clears:
        "Its log says more. Put lost files back and run the same command again, which fetches these alone; or accept that they are lost.",
    },
    "media-left-out": {
      means: "Uploads were left out of the archive, as asked.",
      known: "They were named in the options.",
    },
    "media-quarantined": {
      means:
        "Uploads are quarantined. matrix-media-repo hands such uploads out to nobody, so they are not in its archive; and its importer knows no quarantine, so it makes those in a bundle's archives public again.",
      known: "From its listing, or from the database.",
      clears:
        "After an import into matrix-media-repo, quarantine each again with the calls in the evidence, before anybody can reach it.",
    },
    "media-archive": {
      means: "How many uploads in a media archive match its manifest in size and hash.",
      known: "Every file of the archive is read and hashed.",
    },
    "media-archive-incomplete": {
      means:
        "A media archive has records without a file, records that its importer skips, or uploads of another server.",
      known: "The archive is read as its importer would read it.",
      clears:
        "Check that all files of the archive are there and that it is the one of this server, or ask whoever made it. `restore` goes on with the others.",
    },
    "media-url-previews": {
      means:
        "URL previews in a media archive were not restored, because as uploads they would stay for ever.",
      known: "By their records.",
      clears: "Nothing is to be done: Synapse makes previews again.",
    },
    "media-authenticated": {
      means:
        "The archive does not say which uploads were public, so they are served with authentication only. Old clients and servers, which ask without a token, get 404.",
      known: "Rows were added for uploads of an archive.",
      clears:
        "If they were public before, run the UPDATE of the hint on the restored database before `open`.",
    },
    "media-as-archive": {
      means:
        "The media was restored as archives for matrix-media-repo; Synapse's media store has no uploads.",
      known: "The bundle was made that way, or it was asked for.",
      clears:
        "Import the folders with `gdpr_import` of matrix-media-repo, then run `open` with `--accept media`.",
    },
    "media-remote": {
      means:
        "How much media of other servers there is. It is not moved: the new server fetches each file again when somebody asks for it. `media check` warns of rows without a file, for which Synapse always answers 404.",
      known: "From the database, and from the files where these are counted.",
      clears:
        "For rows without a file: delete the rows with the call in the hint, and Synapse fetches the files again.",
    },
    "media-remote-lost": {
      means: "Media of servers that have not answered for 30 days or longer can hardly be fetched again.",
      known: "From Synapse's own record of when it reached each server.",
      clears:
        "The export packs the media of servers that it finds gone ([`media-remote-kept`](#media-remote-kept)). People who need files of the others should save them before; then accept the warning.",
    },
    "media-remote-kept": {
      means: "Media of servers that no longer answer is packed, and its rows are kept.",
      known:
        "From Synapse's own record of when it reached each server; those that are in doubt are asked, the ones with the most media first.",
    },
    media: {
      means:
        "The gate of media: every upload that had its file on the old host has it here, with the same size and, where it is known, the same hash.",
      known: "All rows are compared with the restored files.",
      clears: "Run the restore again: it restores missing files.",
      accepts: ["open"],
    },
    "media-owners": {
      means:
        "Whether the account that runs Synapse can read each file of local media and write to its folders. A wrong owner is the most frequent error after a move.",
      known: "Owner and mode of every file and folder are looked at.",
      clears: "chown the media store to that account, as the hint says.",
      accepts: ["open"],
    },
    "remote-media": {
      means:
        "Whether rows are left for media whose files were not moved. Synapse would always answer 404 for them.",
      known: "Such rows are counted in the restored database.",
      clears: "Remove the database and restore again.",
      accepts: ["open"],
    },
    "answers-media": {
      means:
        "Whether the started server serves an upload, byte for byte as it is in the media store. A note says that there was no small upload to ask for.",
      known: "One upload is fetched over HTTP; with `--token-file` also one that requires authentication.",
      clears: "Check `media_store_path`, the owner of the files and the server's log.",
      accepts: ["open"],
    },
  },
};
