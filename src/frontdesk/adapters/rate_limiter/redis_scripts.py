"""What Redis runs in one step, each over one key. Times are whole microseconds, which a double holds exactly."""

from hashlib import sha1


class Script:
    """`name` is the digest under which Redis keeps it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.name = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def over(self, key: str, *arguments: str | int) -> tuple[str | int, ...]:
        """The command that runs it."""
        return "EVALSHA", self.name, 1, key, *arguments


# A list of the moments of the hits that count, the oldest first.
# ARGV: now, the window, the amount, 1 to count a hit or 0 to look. Returns allowed, remaining, reset after.
WINDOW = Script("""
local now, window, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
while oldest and oldest <= now - window do
  redis.call('LPOP', KEYS[1])
  oldest = tonumber(redis.call('LINDEX', KEYS[1], 0))
end
local held = redis.call('LLEN', KEYS[1])
local allowed = held < amount
if allowed and ARGV[4] == '1' then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], window / 1000)
  oldest, held = oldest or now, held + 1
end
return {allowed and 1 or 0, math.max(amount - held, 0), oldest and oldest + window - now or 0}
""")

# A hash: `sum` is what was used and what is reserved; every open reservation stands under its id with its amount.
# ARGV: the budget, the amount, the id, how long to keep the day in seconds. Returns allowed, remaining.
RESERVE = Script("""
local free, amount = tonumber(ARGV[1]) - (redis.call('HGET', KEYS[1], 'sum') or 0), tonumber(ARGV[2])
if amount > free then
  return {0, math.max(free, 0)}
end
redis.call('HINCRBY', KEYS[1], 'sum', ARGV[2])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return {1, free - amount}
""")

# ARGV: the id, what was used. Returns whether the reservation was open.
SETTLE = Script("""
local amount = redis.call('HGET', KEYS[1], ARGV[1])
if not amount then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'sum', ARGV[2] - amount)
return 1
""")

SCRIPTS = (WINDOW, RESERVE, SETTLE)
