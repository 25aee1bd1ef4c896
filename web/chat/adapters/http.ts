/** Requests for JSON, with the failures of every surface read alike: problem documents and the public chats' own. */
import { type FieldError, Refusal, Unreachable } from "../transport";

interface Told {
  code?: unknown;
  error?: unknown;
  detail?: unknown;
  title?: unknown;
  errors?: unknown;
}

export async function refusalOf(response: Response): Promise<Refusal> {
  const told = await readJson(response);
  return refusal(response.status, told, response.headers.get("retry-after"));
}

export function refusal(status: number, told: Told, retryAfter: string | null): Refusal {
  const text = [told.error, told.detail, told.title].find((each) => typeof each === "string" && each !== "");
  const seconds = Number(retryAfter);
  return new Refusal(
    status,
    typeof told.code === "string" ? told.code : `http_${status}`,
    typeof text === "string" ? text : "",
    retryAfter !== null && Number.isFinite(seconds) ? seconds : undefined,
    Array.isArray(told.errors) ? (told.errors as FieldError[]) : [],
  );
}

async function readJson(response: Response): Promise<Told> {
  try {
    const told: unknown = await response.json();
    return typeof told === "object" && told !== null ? told : {};
  } catch {
    return {};
  }
}

export async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { credentials: "omit", cache: "no-store", redirect: "error", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Unreachable(error);
  }
}

/** The answer's JSON, or undefined where it has none. Raises `Refusal` and `Unreachable`. */
export async function ask<T>(url: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  const { json, ...rest } = init;
  const headers = new Headers(rest.headers);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const body = json === undefined ? rest.body : JSON.stringify(json);
  const response = await reach(url, { ...rest, headers, body });
  if (!response.ok) throw await refusalOf(response);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

/** A file as a form. `fetch` can not tell how far it is. */
export function sendFile<T>(
  url: string,
  file: File,
  options: { headers: Record<string, string>; onProgress?: (fraction: number) => void; signal?: AbortSignal },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", url);
    request.responseType = "json";
    for (const [name, value] of Object.entries(options.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) options.onProgress?.(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status < 300) resolve(request.response as T);
      else reject(refusal(request.status, (request.response ?? {}) as Told, request.getResponseHeader("retry-after")));
    };
    request.onerror = () => reject(new Unreachable(new Error("upload")));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    options.signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
