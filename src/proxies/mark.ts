/** The first words of a file of ours, by which it may be replaced. */
export const MARK = "# Written by synlift";

/** Whether synlift wrote the file. */
export const isOurs = (text: string): boolean => text.startsWith(MARK);
