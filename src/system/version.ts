import { version } from "node:process";

/** The version in bundles and reports. A test compares it with package.json. */
export const VERSION = "0.1.0";
export const PROGRAM = `synlift ${VERSION}`;
/** Of the Node that runs this. */
export const NODE_VERSION = version;
