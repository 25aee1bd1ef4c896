import { ChatKitClient, textOf } from './chatkit.mjs'

const find = (id) => document.getElementById(id)
const KEPT = 'todo-thread'
const { gateway } = await (await fetch('config.json')).json()
let token = null
let chat = null

find('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault()
  const { name, password } = Object.fromEntries(new FormData(event.target))
  const response = await fetch(`${gateway}/api/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: name, password }),
  })
  const answer = await response.json()
  if (!response.ok) return tell(answer.detail)
  token = answer.access_token
  await begin()
})

async function begin() {
  tell('')
  find('sign-in').hidden = true
  find('todo').hidden = false
  chat = new ChatKitClient({ gateway, token, onItems: show, onClientTool: perform })
  await refresh()
  const threadId = sessionStorage.getItem(KEPT)
  if (threadId) await chat.load(threadId).catch(() => sessionStorage.removeItem(KEPT))
}

async function perform(name) {
  if (name !== 'refresh_task_list') return { error: `The page knows no ${name}` }
  window.dispatchEvent(new CustomEvent('refresh-tasks'))
  return { refreshed: true }
}

window.addEventListener('refresh-tasks', refresh)

async function refresh() {
  const response = await fetch('tasks', { headers: { Authorization: `Bearer ${token}` } })
  const tasks = await response.json()
  find('tasks').replaceChildren(...tasks.map(({ id, title, is_done }) => line(`${id}. ${title}`, is_done && 'done')))
}

function show(items) {
  if (chat.threadId) sessionStorage.setItem(KEPT, chat.threadId)
  find('start').hidden = items.size > 0
  find('items').replaceChildren(...[...items.values()].flatMap(shown))
  find('items').lastElementChild?.scrollIntoView({ block: 'end' })
}

function shown(item) {
  if (item.type === 'workflow') return item.workflow.tasks.map((task) => line(`⚙ ${task.title}`, 'tool'))
  if (item.type === 'client_tool_call') return [line(`⟳ ${item.name}`, 'tool')]
  if (item.type === 'error' || item.type === 'notice') return [line(item.text, 'problem')]
  return [line(textOf(item), item.type)]
}

// What people and models say is text, and never markup.
function line(text, kind) {
  const element = document.createElement('li')
  element.textContent = text
  if (kind) element.className = kind
  return element
}

async function say(text) {
  find('say').disabled = true
  try {
    await chat.send(text)
  } catch (error) {
    tell(error.message)
  }
  find('say').disabled = false
}

find('ask').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = find('text').value.trim()
  find('text').value = ''
  if (text) say(text)
})
find('stop').addEventListener('click', () => chat.stop())

for (const button of document.querySelectorAll('[data-prompt]')) {
  button.addEventListener('click', () => {
    const { prompt } = button.dataset
    if (!prompt.endsWith(' ')) return say(prompt)
    find('text').value = prompt
    find('text').focus()
  })
}

find('sign-in').hidden = false

function tell(problem) {
  find('problem').textContent = problem
}
