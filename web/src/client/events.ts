/** Server-sent events of a POST request, which the browser's own EventSource cannot make. */
import { type Ask, fetchResponse } from "./http";

/** One event: its name ("message" where the server gave none) and its data. */
export interface ServerEvent {
  event: string;
  data: string;
}

/** The events as they come. Ends with the response; throws as `fetchResponse` does. */
export async function* fetchEvents(path: string, ask: Ask): AsyncGenerator<ServerEvent> {
  const response = await fetchResponse(path, { ...ask, accept: "text/event-stream" });
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const found = parse(block);
        if (found) yield found;
      }
    }
    const last = parse(rest);
    if (last) yield last;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parse(block: string): ServerEvent | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
  return data.length > 0 ? { event, data: data.join("\n") } : null;
}
