// The original document's snippets without their types, word for word but for `names` in the addresses.
const names = "room=lobby&sender=original";

let heartbeatTimer;
let pongReceived = true;

function startHeartbeat(ws, interval = 30000, timeout = 10000) {
  heartbeatTimer = setInterval(() => {
    if (!pongReceived) {
      ws.close(4000, 'Heartbeat timeout');
      return;
    }
    pongReceived = false;
    ws.send(JSON.stringify({ type: 'ping' }));
    setTimeout(() => {
      if (!pongReceived) ws.close(4000, 'Pong timeout');
    }, timeout);
  }, interval);
}

function getReconnectDelay(attempt, config) {
  const delay = config.baseDelay * Math.pow(config.backoffMultiplier, attempt);
  const jitter = delay * 0.1 * Math.random(); // 10% jitter
  return Math.min(delay + jitter, config.maxDelay);
}

class MessageQueue {
  queue = [];
  maxSize = 100;

  enqueue(msg) {
    if (this.queue.length >= this.maxSize) this.queue.shift();
    this.queue.push(msg);
  }

  flush(ws) {
    while (this.queue.length > 0) {
      const msg = this.queue.shift();
      ws.send(JSON.stringify(msg));
    }
  }
}

class SSEConnection {
  source = null;

  connect(streamUrl) {
    this.source = new EventSource(streamUrl);

    this.source.addEventListener('message', (e) => {
      const event = JSON.parse(e.data);
      this.dispatch(event);
    });

    this.source.addEventListener('typing', (e) => {
      this.dispatch({ type: 'typing', payload: JSON.parse(e.data) });
    });

    this.source.onerror = () => {
      // EventSource auto-reconnects; update UI state
      this.dispatch({ type: 'connection', payload: { status: 'reconnecting' } });
    };
  }

  disconnect() {
    this.source?.close();
    this.source = null;
  }
}

// Client sends messages via POST
async function sendMessage(apiUrl, message) {
  const response = await fetch(`${apiUrl}/messages?${names}`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-CSRF-Token': getCsrfToken(),
    },
    body: JSON.stringify(message),
  });
  if (!response.ok) throw new ChatSendError(response.status);
}

async function poll(apiUrl, interval = 3000) {
  let lastMessageId = null;

  setInterval(async () => {
    const params = lastMessageId ? `&after=${lastMessageId}` : '';
    const response = await fetch(`${apiUrl}/messages?${names}${params}`);
    const messages = await response.json();

    if (messages.length > 0) {
      lastMessageId = messages[messages.length - 1].id;
      messages.forEach(msg => dispatch(msg));
    }
  }, interval);
}

async function longPoll(apiUrl) {
  while (true) {
    try {
      const response = await fetch(`${apiUrl}/messages/poll?${names}`, {
        signal: AbortSignal.timeout(30000),
      });
      const messages = await response.json();
      messages.forEach(msg => dispatch(msg));
    } catch (e) {
      if (e instanceof DOMException && e.name === 'TimeoutError') continue;
      await new Promise(r => setTimeout(r, 1000)); // backoff on error
    }
  }
}
