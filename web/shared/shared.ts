/** The copy of a thread that the page has in it. */
import type { ChatMessage } from "../chat/model";

interface Wire {
  role: "user" | "assistant";
  text: string;
  created_at: string;
  files: string[];
}

export interface Shared {
  title: string | null;
  createdAt: Date;
  isCut: boolean;
  messages: ChatMessage[];
}

export function given(): Shared {
  const text = document.getElementById("frontdesk")?.textContent ?? "";
  const wire = JSON.parse(text) as { title: string | null; created_at: string; is_cut: boolean; messages: Wire[] };
  return {
    title: wire.title,
    createdAt: new Date(wire.created_at),
    isCut: wire.is_cut,
    messages: wire.messages.map(messageOf),
  };
}

function messageOf(wire: Wire, number: number): ChatMessage {
  return {
    key: String(number),
    id: null,
    role: wire.role,
    text: wire.text,
    status: "completed",
    at: new Date(wire.created_at),
    attachments: wire.files.map((name) => ({ name, mediaType: "", size: 0, reference: null })),
    calls: [],
    citations: [],
  };
}
