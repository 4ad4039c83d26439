/** Of the contract of --json. Fields are added without a new version; one that goes or changes its meaning makes the next. */
export const JSON_VERSION = 1;
export const SCHEMAS = `docs/json/v${JSON_VERSION}`;

/** "media-check.schema.json" */
export const schemaFileOf = ({ name }: { readonly name: string }) => `${name.replace(" ", "-")}.schema.json`;
export const EVENTS_FILE = "events.schema.json";
