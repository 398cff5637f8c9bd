// A chat by npm's socket.io, as its tutorial builds one: rooms, acknowledgements, and messages with ids that are
// replayed after `auth.serverOffset`. Each message is stored once, in a file, by its client_id.
// Arguments: port (0: any) and file; with `recovery`, connection state recovery instead of ids.
// It prints its port, and ends with its standard input.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const [port, file, mode] = process.argv.slice(2);
const said = existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)) : [];
const known = new Set(said.map((message) => message.client_id));
const recovers = mode === "recovery";
const server = createServer();
const io = new Server(server, { pingInterval: 1000, pingTimeout: 1000, ...(recovers && { connectionStateRecovery: {} }) });

io.use((socket, next) => {
  if (socket.handshake.auth.token !== "wrong") return next();
  next(Object.assign(new Error("not authorized"), { data: { status: 403 } }));
});

io.on("connection", (socket) => {
  socket.on("join", (room) => {
    if (!recovers) said.slice(socket.handshake.auth.serverOffset ?? 0).forEach((m) => socket.emit("chat message", m));
    socket.join(room);
  });
  socket.on("chat message", (message, ack) => {
    if (!known.has(message.client_id)) {
      const stored = recovers ? message : { ...message, id: said.length + 1 };
      known.add(message.client_id);
      said.push(stored);
      appendFileSync(file, JSON.stringify(stored) + "\n");
      io.to("lobby").emit("chat message", stored);
    }
    ack({ ok: true });
  });
});

server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
