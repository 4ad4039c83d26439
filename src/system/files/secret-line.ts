/** What a file with a secret holds: a line break at its end does not belong to the secret. */
export const secretLine = (text: string): string => text.replace(/\r?\n$/, "");
