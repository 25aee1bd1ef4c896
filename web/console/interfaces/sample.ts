/** A conversation that goes nowhere: it shows how one looks. */
import type { ChatMessage, Draft } from "../../chat/model";
import type { Sink, Snapshot, Transport, Watch } from "../../chat/transport";

export class SampleChat implements Transport {
  private readonly said: ChatMessage[] = [];
  private sink: Sink | null = null;

  constructor(private readonly answer: string) {}

  load(): Promise<Snapshot> {
    return Promise.resolve({ messages: [...this.said], hasMore: false, executionId: null });
  }

  earlier(): Promise<Snapshot> {
    return this.load();
  }

  send(draft: Draft) {
    const number = this.said.length;
    const executionId = `sample-${number}`;
    this.said.push(messageOf(`${number}-question`, "user", draft.text, executionId));
    this.said.push(messageOf(`${number}-answer`, "assistant", this.answer, executionId));
    return Promise.resolve({ executionId, messageId: `${number}-question` });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  watch(sink: Sink): Watch {
    this.sink = sink;
    return { expect: (executionId) => this.tell(executionId), close: () => (this.sink = null) };
  }

  private tell(executionId: string): void {
    const message = this.said.find((each) => each.executionId === executionId && each.role === "assistant");
    if (!message) return;
    this.sink?.event({ type: "settled", executionId, message });
    this.sink?.event({ type: "ended", executionId, status: "completed" });
  }
}

function messageOf(id: string, role: "user" | "assistant", text: string, executionId: string): ChatMessage {
  return {
    key: id,
    id,
    role,
    text,
    status: "completed",
    at: new Date(),
    attachments: [],
    calls: [],
    citations: [],
    executionId,
  };
}
