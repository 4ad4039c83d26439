import { access, constants } from "node:fs/promises";

/** Whether this process may run the file. False when there is none. */
export const isExecutable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
