// The usual calls of OpenAI's client for Node; what came of each is printed as one JSON object.
import OpenAI from 'openai'

const messages = [{ role: 'user', content: 'how long is the coast' }]
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0, timeout: 20_000 })
const chat = (model, more = {}, options = {}) => client.chat.completions.create({ model, messages, ...more }, options)

async function nameOf(promise) {
  try {
    await promise
    return 'nothing'
  } catch (error) {
    return error.constructor.name
  }
}

async function read(stream, until = () => false) {
  const heard = { text: '', finish: null, usages: [] }
  for await (const chunk of stream) {
    heard.text += chunk.choices[0]?.delta.content ?? ''
    heard.finish = chunk.choices[0]?.finish_reason ?? heard.finish
    if (chunk.usage) heard.usages.push(chunk.usage.completion_tokens)
    if (until(heard)) break
  }
  return heard
}

const told = {}
const whole = await chat('scripted?tokens=3')
told.whole = [whole.choices[0].message.content, whole.usage.completion_tokens]

const stream = await read(await chat('scripted?tokens=5', { stream: true }))
told.stream = [stream.text, stream.finish, stream.usages.length]

const counted = await chat('scripted?tokens=5', { stream: true, stream_options: { include_usage: true } })
told.usage = (await read(counted)).usages[0]

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }]
const runner = client.chat.completions.stream({ model: 'scripted?tokens=1&tool_call=weather', messages, tools })
const { function: call } = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0]
told.tool = [call.name, call.arguments]

told.models = (await client.models.list()).data.some((model) => model.id === 'scripted')
told.model = (await client.models.retrieve('scripted')).id

const input = ['one text']
const packed = await client.embeddings.create({ model: 'scripted', input })
const plain = await client.embeddings.create({ model: 'scripted', input, encoding_format: 'float' })
const vectors = [packed, plain].map((made) => made.data[0].embedding)
const same = JSON.stringify(vectors[0]) === JSON.stringify(vectors[1])
told.embeddings = [vectors[0].length, vectors[1].length, same]

told.errors = {}
for (const status of [400, 404, 409, 422, 429, 500]) {
  told.errors[status] = await nameOf(chat(`scripted?status=${status}`))
}
told.errors[502] = await nameOf(chat('scripted?status=401'))
const stranger = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'x', maxRetries: 0 })
told.errors.key = await nameOf(stranger.models.list())

told.timeout = await nameOf(chat('scripted?first_ms=60000', {}, { timeout: 300 }))
const again = 'scripted?tokens=2&status=503&retry_after=0&fail_first=2&key=node-again'
told.retried = (await chat(again, {}, { maxRetries: 2 })).choices[0].message.content

let heard = ''
try {
  for await (const chunk of await chat('scripted?reset_at=3', { stream: true })) {
    heard += chunk.choices[0].delta.content ?? ''
  }
} catch (error) {
  told.broken = [heard, error.constructor.name]
}

const left = await chat('scripted?tokens=1000&pause_ms=20&key=node-left', { stream: true })
await read(left, ({ text }) => text.includes('t3 '))
told.left = left.controller.signal.aborted

console.log(JSON.stringify(told))
