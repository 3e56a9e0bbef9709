"""Redis streams, and what speaks like Redis.

Strategy: a batch is one script, which Redis carries out as a whole. It appends each message to the stream and keeps in a hash beside
it how far the outbox has come: position and time of the last message. What is not beyond that is there already and is passed over, so
that a batch that comes again, or late from a relay that was thought dead, changes nothing. A position that was reached before with a later
time is a new one: the database was restored from a copy and has given it again.

The hash is ``{STREAM}:relayed``, in the same slot of a cluster; its fields are named after outboxes. IDs are Redis' own.

Invariants: the script writes the hash in any case, so that ``WAIT``, which asks for the writes of this connection, speaks of everything
that the hash tells of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastscp.relay.broker import BrokerError, Message

ANSWER_S: Final = 5.0  #: for connecting, and for each answer
_FIELDS: Final = 5  #: of a message, in the arguments of the script
#: KEYS: stream, hash. ARGV: outbox, how many entries to keep or "", then the fields of each message
_APPEND: Final = """
local told = redis.call('HGET', KEYS[2], ARGV[1])
local last, time = 0, ''
if told then
    local at = string.find(told, ' ', 1, true)
    last, time = tonumber(string.sub(told, 1, at - 1)), string.sub(told, at + 1)
end
local added = 0
for i = 3, #ARGV, 5 do
    local position = tonumber(ARGV[i])
    if position > last or ARGV[i + 1] > time then
        local entry = {'XADD', KEYS[1]}
        if ARGV[2] ~= '' then
            for _, word in ipairs({'MAXLEN', '~', ARGV[2]}) do entry[#entry + 1] = word end
        end
        for _, word in ipairs({'*', 'key', ARGV[i + 2], 'event', ARGV[i + 3], 'position', ARGV[i], 'body', ARGV[i + 4]}) do
            entry[#entry + 1] = word
        end
        redis.call(unpack(entry))
        last, time, added = position, ARGV[i + 1], added + 1
        redis.call('HSET', KEYS[2], ARGV[1], ARGV[i] .. ' ' .. time)
    end
end
if added == 0 then redis.call('HSET', KEYS[2], ARGV[1], told) end
return added
"""


class RedisBroker:
    """A stream. ``replicas`` have to have what is confirmed; of more than ``most`` entries the oldest go, None: they stay."""

    def __init__(self, url: str, stream: str, *, most: int | None = None, replicas: int = 0, password: str | None = None) -> None:
        self._stream = stream
        self._most = most
        self._replicas = replicas
        more: dict[str, Any] = {} if password is None else {"password": password}
        try:
            self._redis = redis.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0),
                                               max_connections=1, protocol=2, **more)
        except ValueError as error:
            raise BrokerError(f"this is no URL of Redis: {error}") from error

    def send(self, source: str, messages: Sequence[Message]) -> None:
        """Append messages. Raises BrokerError."""
        arguments: list[str | bytes] = [source, "" if self._most is None else str(self._most)]
        for message in messages:
            arguments += (str(message.position), message.time, message.key, message.event, message.body)
        try:
            self._redis.eval(_APPEND, 2, self._stream, f"{{{self._stream}}}:relayed", *arguments)
            if self._replicas:
                self._wait()
        except redis.RedisError as error:
            self.close()
            raise BrokerError(_said(error)) from error

    def _wait(self) -> None:
        reached = int(self._redis.wait(self._replicas, int(1000 * ANSWER_S / 2)))
        if reached < self._replicas:
            raise BrokerError(f"only {reached} of {self._replicas} replicas have what was sent")

    def close(self) -> None:
        """Give the connection back."""
        self._redis.close()
        self._redis.connection_pool.disconnect()


def _said(error: redis.RedisError) -> str:
    """Return the first line of what Redis said."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
