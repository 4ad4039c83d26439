// Stands in for `synlift follow-source`: answers each request from a file, and writes down what was asked.
import { appendFileSync, readFileSync } from "node:fs";
import { stdin, stdout } from "node:process";
import { Channel } from "../../../src/pipeline/channel.ts";
import { parentPeer } from "../../../src/system/programs/peer.ts";

const [file] = process.argv.slice(2);
const answers = JSON.parse(readFileSync(file!, "utf8")) as Record<string, object>;
const peer = parentPeer(stdin, stdout, new AbortController().signal);
const channel = await Channel.open(peer, { peerLocation: "on the new host" });
await channel.sendMessage({ type: "hello", version: 2, program: "stand-in" });
try {
  for (;;) {
    const { type } = (await channel.receiveMessage()) as { type: string };
    appendFileSync(`${file!}.asked`, `${type}\n`);
    await channel.sendMessage(answers[type]!);
  }
} catch {
  // The new host has what it wanted.
} finally {
  channel.close();
}
process.exit(0);
