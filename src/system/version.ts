/** Who made a bundle or a report. A test holds it against package.json. */
export const VERSION = "0.1.0";
export const PROGRAM = `synlift ${VERSION}`;
