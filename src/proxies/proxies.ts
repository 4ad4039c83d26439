import { apache } from "./apache.ts";
import type { ProxyWriter } from "./answer.ts";
import { caddy } from "./caddy.ts";
import { haproxy } from "./haproxy.ts";
import { nginx } from "./nginx.ts";

/** The programs that do everything themselves, by the name that options use. */
export const PROXIES = { nginx, caddy, apache, haproxy } as const satisfies Record<string, ProxyWriter>;

export type ProxyName = keyof typeof PROXIES;
