export declare const NEWER_NODE: string;
export declare const ARCHITECTURES: readonly string[];
export declare function newerNodeFolder(architecture: string): string;
