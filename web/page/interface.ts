/** How an interface looks to its visitors. */
export interface Looks {
  title: string;
  description: string;
  coverType: "image" | "color" | "gradient";
  coverValue: string;
  iconUrl: string | null;
  primaryColor: string;
  fontFamily: string;
  borderRadius: number;
  welcomeMessage: string;
  placeholderText: string;
  suggestedPrompts: { text: string; icon?: string | null }[];
  locale: string;
}

/** What the server has put into the page: the interface, as `GET /public/chat-interfaces/{slug}` has it. */
export interface ChatInterface extends Looks {
  slug: string;
  allowFileUpload: boolean;
  maxFiles: number;
  maxFileSizeMb: number;
  allowedFileTypes: string[];
  persistenceType: "session" | "local_storage";
}

export interface Given {
  kind: "page" | "embed";
  /** Where visitors ask: `/api/public/chat-interfaces/{slug}`. */
  root: string;
  interface: ChatInterface;
}

export function given(): Given {
  return JSON.parse(document.getElementById("frontdesk")?.textContent ?? "") as Given;
}
