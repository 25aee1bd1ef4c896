// What docs/how-to/chatkit.md shows pages to do, held to the published types.
import type { ChatKitOptions, OpenAIChatKit } from '@openai/chatkit';

let secret: string | null = null;

async function newSecret(current: string | null): Promise<string> {
  const path = current === null ? '/api/chatkit/session' : '/api/chatkit/refresh';
  const body = current === null ? undefined : JSON.stringify({ token: current });
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${login()}` };
  const response = await fetch(path, { method: 'POST', headers, body });
  if (response.status === 401 && current !== null) return newSecret(null);
  if (!response.ok) throw new Error('Authentication required');
  return (await response.json()).client_secret;
}

const authorized: typeof fetch = async (input, init) => {
  secret ??= await newSecret(null);
  const ask = () => {
    const headers = new Headers(init?.headers);
    headers.set('Authorization', `Bearer ${secret}`);
    return fetch(input, { ...init, headers, credentials: 'omit' });
  };
  const response = await ask();
  if (response.status !== 401) return response;
  secret = await newSecret(null);
  return ask();
};

export const options: ChatKitOptions = {
  api: {
    url: 'https://chat.example.com/chatkit',
    domainKey: 'local',
    fetch: authorized,
    uploadStrategy: { type: 'two_phase' },
  },
  startScreen: {
    greeting: 'Hi! I can help you manage your tasks.',
    prompts: [{ label: 'Show tasks', prompt: 'Show my tasks' }],
  },
  onClientTool: async ({ name, params }) => {
    if (name === 'refresh_task_list') {
      window.dispatchEvent(new CustomEvent('refresh-tasks', { detail: params }));
      return { refreshed: true };
    }
    return {};
  },
};

export function stop(chatkit: OpenAIChatKit): Promise<void> {
  return chatkit.sendCustomAction({ type: 'frontdesk.stop' });
}

declare function login(): string;
