/** Requests to the server that sent this page. */

const KEY = "gnomon.key";

/** An answer that is not a result: what the server said, or that there is no server. */
export class RequestFailed extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 where no answer came. */
    readonly status: number,
    readonly expected = "",
    readonly hint = "",
    /** Seconds to wait, where the server said how many. */
    readonly retryAfter: number | null = null,
    readonly code = "",
  ) {
    super(message);
  }
}

/** The API key of this browser tab, null where none was given. */
export function apiKey(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Keep an API key until the browser tab is closed. */
export function keepApiKey(key: string): void {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // Storage is refused: the key is asked for again.
  }
}

let unauthorized: (why: string) => void = () => undefined;

/** What to do when the server wants a key, or another one. */
export function onUnauthorized(react: (why: string) => void): void {
  unauthorized = react;
}

/** A request: `body` is sent as JSON, by POST unless `method` says another. */
export interface Ask {
  body?: unknown;
  method?: "GET" | "POST" | "DELETE";
  signal?: AbortSignal;
  accept?: string;
}

/** Where the API is: beside the page, also behind a proxy that puts both below a folder. */
export function address(path: string): string {
  return new URL(path, document.baseURI).href;
}

/** The server's response. Throws RequestFailed for every status that is not of success; an abort as it is. */
export async function fetchResponse(path: string, { body, method, signal, accept }: Ask = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: accept ?? "application/json" };
  const key = apiKey();
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(address(path), {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new RequestFailed("The server does not answer.", 0, "", "Is gnomon serve still running? Then try again.");
  }
  if (!response.ok) {
    const failed = await failure(response);
    if (failed.status === 401) unauthorized(failed.message);
    throw failed;
  }
  return response;
}

/** The JSON that the server answers. */
export async function fetchJson<T>(path: string, ask: Ask = {}): Promise<T> {
  return (await (await fetchResponse(path, ask)).json()) as T;
}

/** Whether an error is only that the request was given up. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

async function failure(response: Response): Promise<RequestFailed> {
  let said: Record<string, unknown> = {};
  try {
    const found = (await response.json()) as { error?: Record<string, unknown> };
    said = found.error ?? {};
  } catch {
    // Not the server's own kind of error: the status says what there is to say.
  }
  const text = (name: string) => (typeof said[name] === "string" ? (said[name] as string) : "");
  const wait = Number.parseFloat(response.headers.get("retry-after") ?? "");
  const message = text("message") || `The server answered ${response.status} ${response.statusText}`.trim();
  const retryAfter = Number.isFinite(wait) ? wait : null;
  return new RequestFailed(message, response.status, text("expected"), text("hint"), retryAfter, text("code"));
}
