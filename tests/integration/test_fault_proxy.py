import asyncio
from collections.abc import AsyncIterator

import pytest

from harness.fault_proxy import FaultProxy, Faults, _reset

PAYLOAD = bytes(range(256)) * 40


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """In front of a server that answers each byte it gets with the payload."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1):
                writer.write(PAYLOAD)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as made:
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self) -> bytes:
        self.writer.write(b"?")
        return await self.reader.readexactly(len(PAYLOAD))


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield Client(reader, writer)
    writer.transport.abort()


async def test_without_faults_all_passes(proxy: FaultProxy, client: Client) -> None:
    assert [await client.ask() for _ in range(3)] == [PAYLOAD] * 3
    assert (proxy.accepted, proxy.open_connections) == (1, 1)


async def test_an_end_passes(client: Client) -> None:
    await client.ask()
    client.writer.write_eof()
    async with asyncio.timeout(30):
        assert await client.reader.read() == b""


async def test_a_reset_passes() -> None:
    """The server must not be left with a connection whose client has died."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.read(1))
            await reader.read()
            ended.set_result("in order")
        except ConnectionError:
            ended.set_result("reset")
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"?")
        await reader.read(1)
        _reset(writer)
        assert await ended == "reset"


async def test_a_cut_ends_in_order_after_so_many_bytes(proxy: FaultProxy, client: Client) -> None:
    proxy.switch(Faults(cut_after=1000))
    client.writer.write(b"?")
    async with asyncio.timeout(30):
        assert await client.reader.read() == PAYLOAD[:1000]


async def test_a_reset_is_one(proxy: FaultProxy, client: Client) -> None:
    proxy.switch(Faults(reset_after=1000))
    client.writer.write(b"?")
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_half_open_holds_back_and_goes_on(proxy: FaultProxy, client: Client) -> None:
    await client.ask()
    proxy.switch(Faults(half_open=True))
    asking = asyncio.create_task(client.ask())
    done, _ = await asyncio.wait([asking], timeout=0.3)
    assert not done
    proxy.switch(Faults())
    async with asyncio.timeout(30):
        assert await asking == PAYLOAD


@pytest.mark.parametrize("faults", [Faults(latency=0.2), Faults(bytes_per_second=len(PAYLOAD) * 2)])
async def test_slowness_takes_its_time(proxy: FaultProxy, client: Client, faults: Faults) -> None:
    proxy.switch(faults)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await client.ask() == PAYLOAD
    assert loop.time() - started >= 0.35


async def test_refusing_and_resetting_all(proxy: FaultProxy, client: Client) -> None:
    await client.ask()
    proxy.switch(Faults(refuse=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.transport.abort()
    proxy.reset_all()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
