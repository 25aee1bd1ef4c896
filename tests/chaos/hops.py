"""Every hop gets slow, narrow, broken and silent while answers stream: the history holds all the same (R2 to R4)."""

import asyncio
import random
from collections.abc import Sequence

from chaos.findings import Findings
from chaos.load import Load, judge_end
from chaos.topology import Topology
from harness.fault_proxy import Faults
from harness.model_stub import ModelStub

FAULTS = {
    "latency": Faults(latency=0.2),
    "throttle": Faults(bytes_per_second=20_000),
    "reset": Faults(reset_after=3_000),
    "cut": Faults(cut_after=3_000),
    "half open": Faults(half_open=True),
    "refused": Faults(refuse=True),
}
SETTINGS = {"llm_timeout_seconds": 5, "engine_max_attempts": 10_000}


async def prove_hop_faults(
    topology: Topology,
    stub: ModelStub,
    *,
    rounds: int = 1,
    seconds: float = 2.0,
    rest: float = 1.0,
    writers: int = 8,
    only: Sequence[str] | None = None,
) -> Findings:
    """Each fault on each hop, or on those of `only`, for `seconds`: now at every process, now at one.

    What hung goes on, or is reset.
    """
    findings = Findings("bad hops")
    client = await topology.user("hops")
    load = Load(stub, client, findings, tokens=40, pause_ms=15, may_fail=True)
    made = 0
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(load.converse())
        for _ in range(rounds):
            for hop in topology.hops if only is None else only:
                for faults in FAULTS.values():
                    everybody = topology.having(hop)
                    at = random.choice([everybody, [random.choice(everybody)]])
                    topology.switch(hop, faults, nodes=at)
                    await asyncio.sleep(seconds)
                    topology.switch(hop, Faults())
                    if faults.half_open and random.random() < 0.5:
                        for node in at:
                            node.hops[hop].reset_all()
                    made += 1
                    await asyncio.sleep(rest)
        load.stopping = True
    await judge_end(load, topology.footing)
    broken = sum(not (0 < one.status < 500 or one.status == 503) for one in topology.asked)
    odd = [one for one in topology.asked if one.status >= 500 and one.status != 503]
    findings.faults += [f"{one.method} was {one.status}" for one in odd]
    findings.counts |= {
        "faults on hops": made,
        "answers": load.answers,
        "of them begun again": load.voided,
        "of them ended as failed": load.failed,
        "requests": len(topology.asked),
        "of them lost on the way": broken - len(odd),
    }
    return findings
