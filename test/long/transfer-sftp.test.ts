import { sftpContract } from "../transfer/sftp-contract.ts";

sftpContract([1, 2, 3, 4, 5, 6, 7, 8, 9]);
