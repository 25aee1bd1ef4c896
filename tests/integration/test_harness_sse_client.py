from harness.model_stub import ModelStub
from harness.sse_client import open_sse

BODY = b'{"model":"scripted?%b","stream":true,"messages":[{"role":"user","content":"x"}]}'


async def test_it_keeps_every_byte_and_every_event(model_stub: ModelStub) -> None:
    body = BODY % b"tokens=30&comments=1&split=11&unicode=1"
    async with open_sse(model_stub.url + "/chat/completions", method="POST", body=body) as stream:
        assert (stream.status, stream.headers["transfer-encoding"]) == (200, "chunked")
        events = await stream.read_all(seconds=10)
    assert b"".join(event.raw for event in events) == bytes(stream.body)
    assert len(stream.data) == 33
    assert stream.data[-1] == "[DONE]"
    assert sum(event.comment for event in events) == 33


async def test_it_stops_at_a_byte_and_is_noticed_when_it_cuts(model_stub: ModelStub) -> None:
    body = BODY % b"tokens=100000&pause_ms=2&key=cut"
    async with open_sse(model_stub.url + "/chat/completions", method="POST", body=body) as stream:
        await stream.read_bytes(1000, seconds=5)
        stream.cut()
    assert len(stream.body) >= 1000
    assert (await model_stub.call("cut", seconds=1))["outcome"] == "closed_by_client"


async def test_a_loop_goes_on_where_an_earlier_one_stopped(model_stub: ModelStub) -> None:
    body = BODY % b"tokens=5"
    async with open_sse(model_stub.url + "/chat/completions", method="POST", body=body) as stream:
        async for event in stream:
            first = event
            break
        rest = [event async for event in stream]
    assert [first, *rest] == stream.events
    assert len(stream.events) == 8


async def test_a_slow_reader_holds_the_server_back(model_stub: ModelStub) -> None:
    body = BODY % b"tokens=200000&key=slow"
    async with open_sse(model_stub.url + "/chat/completions", method="POST", body=body, receive_buffer=4096) as stream:
        await stream.read_bytes(10_000, seconds=5)
        assert (await model_stub.call("slow", lambda call: call["tokens_sent"] > 0, seconds=5))["ended"] is None
    assert (await model_stub.call("slow", seconds=5))["outcome"] == "closed_by_client"
