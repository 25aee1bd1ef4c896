"""The log shared by all processes, over Redis Streams: what one appends, the others follow."""

from frontdesk.adapters.thread_log.redis.log import RedisThreadLog

__all__ = ["RedisThreadLog"]
