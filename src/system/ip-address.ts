import { isIP } from "node:net";

/** Which kind of IP address a text is; 0 when it is none. */
export const addressFamily = (text: string) => isIP(text) as 0 | 4 | 6;
