/** An interface as the API has it, and the part of it that its owner chooses, as a form has it. */
import type { Looks } from "../../page/interface";

export interface Settings extends Omit<Looks, "borderRadius"> {
  name: string;
  agentId: string;
  slug: string;
  borderRadius: number | null;
  allowFileUpload: boolean;
  maxFiles: number | null;
  maxFileSizeMb: number | null;
  allowedFileTypes: string[];
  persistenceType: "session" | "local_storage";
  sessionTimeoutMinutes: number | null;
  widgetPosition: "bottom-right" | "bottom-left";
  widgetButtonIcon: string | null;
  widgetButtonText: string | null;
  widgetInitialState: "collapsed" | "expanded";
  rateLimitMessages: number | null;
  rateLimitWindowSeconds: number | null;
  allowedOrigins: string[];
  /** A JWK set as a text; empty for none. */
  identityJwks: string;
}

export interface Interface extends Omit<Settings, "identityJwks"> {
  id: string;
  status: "draft" | "published";
  identityJwks: object | null;
  hasIdentitySecret: boolean;
  sessionCount: number;
  messageCount: number;
}

export const TABS = ["Branding", "Chat", "Files", "Session", "Widget", "Limits"] as const;
export type Tab = (typeof TABS)[number];

const IN_TAB: Record<keyof Settings, Tab> = {
  name: "Branding",
  slug: "Branding",
  title: "Branding",
  description: "Branding",
  coverType: "Branding",
  coverValue: "Branding",
  iconUrl: "Branding",
  primaryColor: "Branding",
  fontFamily: "Branding",
  borderRadius: "Branding",
  locale: "Branding",
  agentId: "Chat",
  welcomeMessage: "Chat",
  placeholderText: "Chat",
  suggestedPrompts: "Chat",
  allowFileUpload: "Files",
  maxFiles: "Files",
  maxFileSizeMb: "Files",
  allowedFileTypes: "Files",
  persistenceType: "Session",
  sessionTimeoutMinutes: "Session",
  identityJwks: "Session",
  widgetPosition: "Widget",
  widgetButtonIcon: "Widget",
  widgetButtonText: "Widget",
  widgetInitialState: "Widget",
  rateLimitMessages: "Limits",
  rateLimitWindowSeconds: "Limits",
  allowedOrigins: "Limits",
};

export function settingsOf(found: Interface): Settings {
  const names = Object.keys(IN_TAB) as (keyof Settings)[];
  const chosen = Object.fromEntries(names.map((name) => [name, found[name]])) as unknown as Settings;
  return { ...chosen, identityJwks: found.identityJwks === null ? "" : JSON.stringify(found.identityJwks, null, 2) };
}

/** What the API is sent of these changes. Raises `SyntaxError` when the keys are no JSON. */
export function wireOf(changes: Partial<Settings>, settings: Settings): Record<string, unknown> {
  const { identityJwks, ...wire } = changes;
  return {
    ...wire,
    ...((wire.coverType ?? wire.coverValue) !== undefined && {
      coverType: settings.coverType,
      coverValue: settings.coverValue,
    }),
    ...(wire.suggestedPrompts && { suggestedPrompts: promptsOf(wire.suggestedPrompts) }),
    ...(identityJwks !== undefined && { identityJwks: identityJwks.trim() ? JSON.parse(identityJwks) : null }),
  };
}

/** Where a field of this name stands; fields within fields are named by the outer one. */
export function tabOf(field: string): Tab | undefined {
  return IN_TAB[field.split(".")[0] as keyof Settings];
}

export function looksOf(settings: Settings): Looks {
  return {
    ...settings,
    borderRadius: settings.borderRadius ?? 0,
    suggestedPrompts: promptsOf(settings.suggestedPrompts),
  };
}

function promptsOf(prompts: Looks["suggestedPrompts"]): Looks["suggestedPrompts"] {
  return prompts.filter((each) => each.text.trim() !== "").map((each) => ({ ...each, icon: each.icon || null }));
}
