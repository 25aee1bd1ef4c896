/** Interfaces and what visitors did in them, as the API has it. */
import { sendFile } from "../../chat/adapters/http";
import { messageOf as publicMessageOf, type WireMessage as PublicMessage } from "../../chat/adapters/public_chat";
import type { CallStatus, ChatMessage } from "../../chat/model";
import type { Account } from "../account";
import type { Interface } from "./draft";

export interface Listed<Item> {
  items: Item[];
  total: number;
}

export type SessionStatus = "active" | "ended" | "expired";

export interface Session {
  id: string;
  status: SessionStatus;
  identity: { sub: string; name: string | null; email: string | null } | null;
  referrer: string | null;
  messageCount: number;
  createdAt: string;
  lastActivityAt: string;
}

export interface Analytics {
  sessions: number;
  uniqueVisitors: number;
  messages: number;
  messagesPerSession: number;
  durationSeconds: number;
  topReferrers: { referrer: string; sessions: number }[];
  messagesByHour: number[];
}

interface WireCall {
  id: string;
  name: string;
  status: string;
  arguments: string;
  result: string | null;
}

/** As visitors are told it, with calls of tools in full. */
type WireMessage = Omit<PublicMessage, "toolCalls"> & { toolCalls: WireCall[] };

export interface Transcript {
  messages: ChatMessage[];
  hasMore: boolean;
}

const PAGE = 30;

export class InterfacesApi {
  constructor(private readonly account: Account) {}

  list(after?: string): Promise<Listed<Interface>> {
    return this.account.ask("GET", `/chat-interfaces?limit=${PAGE}${after ? `&after=${after}` : ""}`);
  }

  get(id: string): Promise<Interface> {
    return this.account.ask("GET", `/chat-interfaces/${id}`);
  }

  create(json: { name: string; slug: string; agentId: string; title: string }): Promise<Interface> {
    return this.account.ask("POST", "/chat-interfaces", json);
  }

  change(id: string, json: Record<string, unknown>): Promise<Interface> {
    return this.account.ask("PUT", `/chat-interfaces/${id}`, json);
  }

  act(id: string, action: "publish" | "unpublish" | "duplicate"): Promise<Interface> {
    return this.account.ask("POST", `/chat-interfaces/${id}/${action}`);
  }

  remove(id: string): Promise<void> {
    return this.account.ask("DELETE", `/chat-interfaces/${id}`);
  }

  async newSecret(id: string): Promise<string> {
    const path = `/chat-interfaces/${id}/identity-secret`;
    return (await this.account.ask<{ identitySecret: string }>("POST", path)).identitySecret;
  }

  /** The address of the picture, which the interface shows from now on. */
  async upload(id: string, kind: "cover" | "icon", file: File): Promise<string> {
    const headers = { Authorization: `Bearer ${await this.account.token()}` };
    const url = `${this.account.root}/chat-interfaces/${id}/assets?type=${kind}`;
    return (await sendFile<{ url: string }>(url, file, { headers })).url;
  }

  analytics(id: string, period: string): Promise<Analytics> {
    return this.account.ask("GET", `/chat-interfaces/${id}/analytics?period=${period}`);
  }

  sessions(id: string, status: SessionStatus | "", after?: string): Promise<Listed<Session>> {
    const query = `limit=${PAGE}${status && `&status=${status}`}${after ? `&after=${after}` : ""}`;
    return this.account.ask("GET", `/chat-interfaces/${id}/sessions?${query}`);
  }

  session(id: string, sessionId: string): Promise<Session> {
    return this.account.ask("GET", `/chat-interfaces/${id}/sessions/${sessionId}`);
  }

  endSession(id: string, sessionId: string): Promise<Session> {
    return this.account.ask("POST", `/chat-interfaces/${id}/sessions/${sessionId}/end`);
  }

  eraseSession(id: string, sessionId: string): Promise<void> {
    return this.account.ask("DELETE", `/chat-interfaces/${id}/sessions/${sessionId}`);
  }

  async transcript(id: string, sessionId: string, before?: string): Promise<Transcript> {
    const path = `/chat-interfaces/${id}/sessions/${sessionId}/messages${before ? `?before=${before}` : ""}`;
    const told = await this.account.ask<{ messages: WireMessage[]; hasMore: boolean }>("GET", path);
    return { messages: told.messages.map(messageOf), hasMore: told.hasMore };
  }
}

const STATUS: Record<string, CallStatus> = { completed: "completed", failed: "failed", running: "running" };

export function messageOf(wire: WireMessage): ChatMessage {
  const message = publicMessageOf({ ...wire, toolCalls: [] });
  return {
    ...message,
    status: wire.role === "user" ? "completed" : wire.status,
    calls: wire.toolCalls.map((call) => ({
      id: call.id,
      name: call.name,
      status: STATUS[call.status] ?? "waiting",
      arguments: call.arguments,
      result: call.result ?? undefined,
    })),
  };
}
