// As much of the ChatKit protocol as a page needs: requests, and items as the stream's events make them. No DOM in here.

export class ChatKitClient {
  // `token` is the user's access token. `onItems` hears of every change, `onClientTool` performs what the agent asks for.
  constructor({ gateway, token, onItems = () => {}, onClientTool = async () => ({}) }) {
    this.gateway = gateway
    this.token = token
    this.onItems = onItems
    this.onClientTool = onClientTool
    this.threadId = null
    this.items = new Map()
    this.secret = null
  }

  // Sends a message and resolves when its answer has ended, with all that the page had to do for it.
  async send(text) {
    const content = [{ type: 'input_text', text }]
    const input = { content, attachments: [], inference_options: {} }
    if (this.threadId === null) await this.#stream('threads.create', { input })
    else await this.#stream('threads.add_user_message', { thread_id: this.threadId, input })
    await this.#performTools()
  }

  // The end of a thread as it is stored: after a reload of the page, with whatever was missed in between.
  async load(threadId) {
    const newest = { thread_id: threadId, order: 'desc', limit: 100 }
    const page = await (await this.#post('items.list', newest)).json()
    this.threadId = threadId
    this.items = new Map(page.data.reverse().map((item) => [item.id, item]))
    this.onItems(this.items)
    await this.#performTools()
  }

  // Closing a stream stops nothing: the answer would go on.
  async stop() {
    if (this.threadId === null) return
    await this.#post('threads.sync_custom_action', { thread_id: this.threadId, action: { type: 'frontdesk.stop' } })
  }

  async #performTools() {
    for (let call = this.#pending(); call; call = this.#pending()) {
      const result = await this.onClientTool(call.name, call.arguments)
      call.status = 'completed'
      await this.#stream('threads.add_client_tool_output', { thread_id: this.threadId, result })
    }
  }

  #pending() {
    return [...this.items.values()].find((item) => item.type === 'client_tool_call' && item.status === 'pending')
  }

  async #stream(type, params) {
    const response = await this.#post(type, params)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let held = ''
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      held += part.value
      const frames = held.split('\n\n')
      held = frames.pop()
      for (const frame of frames) if (frame.startsWith('data: ')) this.#take(JSON.parse(frame.slice(6)))
      this.onItems(this.items)
    }
  }

  async #post(type, params) {
    this.secret ??= await this.#newSecret()
    let response = await this.#ask(type, params)
    if (response.status === 401) {
      this.secret = await this.#newSecret()
      response = await this.#ask(type, params)
    }
    if (response.ok || response.status === 429) return response // a limit is a stream of one notice
    throw new Error((await response.json()).error)
  }

  #ask(type, params) {
    return fetch(`${this.gateway}/chatkit`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.secret}` },
      body: JSON.stringify({ type, params }),
    })
  }

  async #newSecret() {
    const headers = { Authorization: `Bearer ${this.token}` }
    const response = await fetch(`${this.gateway}/api/chatkit/session`, { method: 'POST', headers })
    const answer = await response.json()
    if (!response.ok) throw new Error(answer.error)
    return answer.client_secret
  }

  #take(event) {
    if (event.type === 'thread.created') this.threadId = event.thread.id
    else if (event.type === 'thread.item.removed') this.items.delete(event.item_id)
    else if (event.item) this.items.set(event.item.id, event.item)
    else if (event.type === 'thread.item.updated') update(this.items.get(event.item_id), event.update)
    else if (event.message) this.items.set(`told ${this.items.size}`, { type: event.type, text: event.message })
  }
}

export function textOf(item) {
  return (item.content ?? []).map((part) => part.text).join('')
}

function update(item, change) {
  const kind = change.type.split('.').pop()
  if (kind === 'text_delta') item.content[change.content_index].text += change.delta
  else if (change.content) item.content[change.content_index] = change.content
  else if (change.task) item.workflow.tasks[change.task_index] = change.task
}
