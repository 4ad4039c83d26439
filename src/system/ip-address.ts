import { isIP } from "node:net";

/** The IP version of an address; 0 when the text is not an IP address. */
export const addressFamily = (text: string) => isIP(text) as 0 | 4 | 6;
