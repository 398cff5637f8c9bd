// A chat over GraphQL subscriptions, by graphql-ws: messages of a room, and a mutation that posts one.
// A connection needs the token "sesame". It prints its port, and ends with its standard input.
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  type Message { id: ID!, sender: String!, text: String!, clientId: String }
  type Query { posted: Int! }
  type Mutation { post(room: String!, sender: String!, text: String!, clientId: String): Message }
  type Subscription { messages(room: String!): Message }
`);
const said = [];
const readers = new Set();

async function* messages({ room }) {
  const queue = [];
  let wake = () => {};
  const take = (message) => {
    if (message.room === room) queue.push(message);
    wake();
  };
  readers.add(take);
  try {
    while (true) {
      while (queue.length) yield { messages: queue.shift() };
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    readers.delete(take);
  }
}

const roots = {
  query: { posted: () => said.length },
  mutation: {
    post: (message) => {
      if (message.text === "forbidden") throw new Error("not that word");
      const posted = { ...message, id: String(said.push(message)) };
      for (const take of readers) take(posted);
      return posted;
    },
  },
  subscription: { messages },
};
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", path: "/graphql" });
useServer({ schema, roots, onConnect: ({ connectionParams }) => connectionParams?.token === "sesame" }, server);
server.on("listening", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
