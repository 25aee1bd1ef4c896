"""A real name server on loopback whose answers change with every question, and a resolver that asks it each time."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence

from dnslib import QTYPE, RR, A, DNSRecord


class NameServer(asyncio.DatagramProtocol):
    """`names` gives for each name the addresses of each answer in turn, over and over; their TTL is 0."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._turns = {name: itertools.cycle(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name = str(question.q.qname).rstrip(".")
        self.asked.append(name)
        reply = question.reply()
        if name in self._turns:
            for address in next(self._turns[name]).split():
                reply.add_answer(RR(question.q.qname, QTYPE.A, ttl=0, rdata=A(address)))
        self._transport.sendto(reply.pack(), addr)

    async def open(self) -> "NameServer":
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    def close(self) -> None:
        self._transport.close()

    async def resolve(self, host: str, port: int) -> list[str]:
        """What it answers now, without any cache. Raises `OSError` when it knows no such name."""
        del port
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Asking(answer), remote_addr=("127.0.0.1", self.port)
        )
        transport.sendto(DNSRecord.question(host).pack())
        try:
            found = [str(record.rdata) for record in DNSRecord.parse(await answer).rr]
        finally:
            transport.close()
        if not found:
            raise OSError("no such name")
        return found


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, answer: "asyncio.Future[bytes]") -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        if not self._answer.done():
            self._answer.set_result(data)
