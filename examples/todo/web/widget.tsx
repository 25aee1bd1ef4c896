// OpenAI's own widget in place of the page's chat. It loads ChatKit from OpenAI's servers, as the page here does not.
import { ChatKit, useChatKit } from '@openai/chatkit-react'

export function TodoChat({ gateway, authorized }: { gateway: string; authorized: typeof fetch }) {
  const { control } = useChatKit({
    api: { url: `${gateway}/chatkit`, domainKey: 'local', fetch: authorized },
    startScreen: {
      greeting: 'Hi! I can help you manage your tasks.',
      prompts: [
        { label: 'Show tasks', prompt: 'Show my tasks', icon: 'search' },
        { label: 'Add task', prompt: 'Add a task to ', icon: 'plus' },
      ],
    },
    onClientTool: async ({ name }) => {
      if (name === 'refresh_task_list') window.dispatchEvent(new CustomEvent('refresh-tasks'))
      return { refreshed: true }
    },
  })
  return <ChatKit control={control} className="h-[600px] w-full" />
}
