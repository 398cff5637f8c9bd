// A plain event stream by better-sse at GET /, and POST / to say something. Its sessions resume from Last-Event-ID.
// It prints its port, and ends with its standard input.
import { createServer } from "node:http";
import { createChannel, createSession } from "better-sse";

const channel = createChannel();
const said = [];
// Its serializer must give each line a field of its own; its own default is JSON, which has one line.
const plain = { serializer: (text) => text.replaceAll("\n", "\ndata:"), keepAlive: 100, retry: 100 };

const server = createServer(async (request, response) => {
  if (request.method === "POST") {
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    said.push(text);
    channel.broadcast(text, "said", { eventId: String(said.length) });
    response.writeHead(202).end();
    return;
  }
  const session = await createSession(request, response, plain);
  const after = Number(session.lastId || 0);
  said.slice(after).forEach((text, index) => session.push(text, "said", String(after + index + 1)));
  channel.register(session);
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
