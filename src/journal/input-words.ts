/** What a step's outcome depends on, in words, for those whose name in the journal says nothing to a reader. */
const WORDS: Readonly<Record<string, string>> = {
  accepted: "what was accepted",
  archive: "the choice or the size of the archives",
  backup: "the choice of media",
  bundle: "the move that this belongs to",
  config: "the configuration",
  database: "the database",
  dumpFormat: "the format of the dump",
  first: "what was taken of the media before",
  kept: "the choice of what is moved",
  leftOut: "what is left out of the dump",
  marker: "the database",
  packs: "whether media is taken again",
  recipients: "the recipients",
  "sent to": "the place to which it is sent",
  server: "the server name",
  split: "the size of the parts",
  state: "the files in the media store",
  store: "the place of the media store",
  unreadable: "what was accepted",
};

/** Those of the names, each said once. */
export const inputWords = (names: readonly string[]): string[] => [
  ...new Set(names.map((name) => WORDS[name] ?? name)),
];
