import type { ProblemCode } from "../../transfer/receiver-format.ts";

/** A request is refused. The message is for the customer: no path of this host. */
export class Problem extends Error {
  readonly status: number;
  readonly code: ProblemCode;

  constructor(status: number, code: ProblemCode, message: string) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
  }
}
