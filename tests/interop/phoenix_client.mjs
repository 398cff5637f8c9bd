// Phoenix's own JavaScript client: it joins a room of the server at the URL, prints what it reads as JSON, and
// says each line of its standard input. `reply` is printed for each answer to a message.
import { createInterface } from "node:readline";
import { Socket } from "phoenix";
import WebSocket from "ws";

const [url, room] = process.argv.slice(2);
const print = (...words) => console.log(JSON.stringify(words));
const socket = new Socket(url, { transport: WebSocket, heartbeatIntervalMs: 20_000, params: { token: "sesame" } });
socket.connect();
const channel = socket.channel(`room:${room}`, { sender: "js" });
channel.on("new_msg", ({ sender, body }) => print("message", sender, body));
channel
  .join()
  .receive("ok", () => print("joined"))
  .receive("error", ({ reason }) => print("refused", reason));
const lines = createInterface({ input: process.stdin });
lines.on("line", (body) => {
  channel
    .push("new_msg", { body, sender: "js" })
    .receive("ok", () => print("reply", "ok"))
    .receive("error", ({ reason }) => print("reply", reason));
});
lines.on("close", () => process.exit(0));
