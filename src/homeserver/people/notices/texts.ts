/** What people are told about the move, as the administrator wrote it on the command line. */
export interface MoveAnnouncement {
  readonly serverName: string;
  /** "2026-12-01 02:00 UTC" */
  readonly when?: string | undefined;
  /** "about an hour" */
  readonly outage?: string | undefined;
}

/** Plain text, for everybody who has an account. */
export function textForEverybody(occasion: MoveAnnouncement): string {
  return `${moves(occasion)}

What happens: while it moves, the server does not answer, and your app says that it cannot connect. Your rooms, messages and files come along. What others write to you in the meantime arrives afterwards.

What you have to do: nothing. Stay signed in, and wait until your app is connected again. Please do not sign out and in while you wait: it does not help, and you could lose messages.

One thing is worth a look before: in your app, open Settings and then Encryption. Key storage should be switched on, and you should know where your recovery key is. If you lost it, let the app make a new one there, and keep it somewhere safe.

Whatever your app offers: do not press "reset" for your keys or your identity. It deletes the keys to your old encrypted messages, and nobody can bring them back.

Thank you for your patience!
`;
}

/** Plain text, for those who would lose messages if they had to sign in again. Short: it is read on a phone. */
export function textForThoseAtRisk(occasion: MoveAnnouncement): string {
  return `${moves(occasion)}

You get this message because the keys to your encrypted messages are not safely stored. If you had to sign in again, you could not read your old messages any more. It takes two minutes to be safe:

1. Take the device on which you can read your messages.
2. Open Settings, then Encryption, and switch key storage on. Some apps call it key backup or secure backup.
3. Keep the recovery key that you are shown somewhere outside this device.
4. Leave the app open for a few minutes, so that it can store all keys.

Please do not sign out, and do not press "reset": it deletes the keys that you have.

Thank you! If you are unsure, ask the people who run this server.
`;
}

function moves({ serverName, when, outage }: MoveAnnouncement): string {
  return [
    `Our chat server ${serverName} moves to another machine.`,
    when === undefined ? "We will tell you the day and the hour in time." : `When: ${when}.`,
    ...(outage === undefined ? [] : [`How long: ${outage}.`]),
  ].join("\n");
}
