/** An agent as the API has it, and as a form has it. */
export type Kind = "model" | "python" | "remote";

export interface Agent {
  id: string;
  ownerId: string;
  name: string;
  kind: Kind;
  runtime: string | null;
  model: string | null;
  instructions: string;
  tools: string[];
  temperature: number | null;
  limits: { maxSteps: number | null; maxSeconds: number | null; maxTokens: number | null };
  /** Who may use it beside its owner: everybody when null. */
  users: string[] | null;
}

export type Audience = "me" | "everybody" | "chosen";

export interface AgentDraft extends Omit<Agent, "id" | "ownerId" | "users"> {
  audience: Audience;
  chosen: string[];
}

export function blankDraft(): AgentDraft {
  return {
    name: "",
    kind: "model",
    runtime: null,
    model: null,
    instructions: "",
    tools: [],
    temperature: null,
    limits: { maxSteps: 10, maxSeconds: 300, maxTokens: null },
    audience: "me",
    chosen: [],
  };
}

export function draftOf(agent: Agent): AgentDraft {
  const { name, kind, runtime, model, instructions, tools, temperature, limits, users } = agent;
  const audience = users === null ? "everybody" : users.length > 0 ? "chosen" : "me";
  return { name, kind, runtime, model, instructions, tools, temperature, limits, audience, chosen: users ?? [] };
}

/** What the API is sent of these changes to a draft. */
export function wireOf(changes: Partial<AgentDraft>, draft: AgentDraft): Partial<Omit<Agent, "id" | "ownerId">> {
  const { audience, chosen, ...rest } = changes;
  const wire: Partial<Omit<Agent, "id" | "ownerId">> = rest;
  if (draft.kind === "model" && (rest.kind !== undefined || rest.runtime !== undefined)) wire.runtime = null;
  if (audience === undefined && chosen === undefined) return wire;
  const users = draft.audience === "everybody" ? null : draft.audience === "me" ? [] : draft.chosen;
  return { ...wire, users };
}
