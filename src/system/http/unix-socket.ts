/** An HTTP URL of a server that listens on a unix socket, in the form that several HTTP clients use: "http+unix://%2Frun%2Fapp.sock". */
export const unixSocketUrl = (path: string) => `http+unix://${encodeURIComponent(path)}`;

/** The absolute path of the socket in such a URL; undefined for any other URL. */
export function socketIn({ protocol, hostname }: URL): string | undefined {
  if (protocol !== "http+unix:") return undefined;
  try {
    return decodeURIComponent(hostname);
  } catch {
    return undefined;
  }
}
