// The to-do assistant's page without its window: says each line of SAID and prints what the page would show, as JSON.
import { ChatKitClient, textOf } from '../../examples/todo/web/chatkit.mjs'

const { GATEWAY: gateway, SITE: site, TOKEN: token, SAID: said } = process.env
const told = { tools: [], refreshed: [], last: [] }

async function refresh(name) {
  told.tools.push(name)
  const response = await fetch(`${site}/tasks`, { headers: { Authorization: `Bearer ${token}` } })
  told.refreshed.push(await response.json())
  return { refreshed: true }
}

const client = () => new ChatKitClient({ gateway, token, onClientTool: refresh })
const chat = client()
for (const text of said.split('\n')) {
  await chat.send(text)
  told.last.push(textOf([...chat.items.values()].findLast((item) => item.type === 'assistant_message')))
}
told.items = [...chat.items.values()]
const reloaded = client()
await reloaded.load(chat.threadId)
told.reloaded = [...reloaded.items.values()]
console.log(JSON.stringify(told))
