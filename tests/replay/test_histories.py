"""The workflow of today continues what earlier versions of it began: their recorded histories replay."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from frontdesk.adapters.execution_engine.orchestrator import WORKFLOW, AgentOrchestratorWorkflow, Order

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
ENDS = ("completed", "failed", "cancelled", "killed", "continued")


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await Replayer(workflows=[AgentOrchestratorWorkflow]).replay_workflow(read(path))


def test_every_end_is_recorded() -> None:
    assert {path.stem.rpartition("-")[2] for path in HISTORIES} == set(ENDS)


@workflow.defn(name=WORKFLOW)
class Another:
    """Does something else first."""

    @workflow.run
    async def run(self, _order: Order) -> None:
        await workflow.sleep(1)

    @workflow.signal
    def cancel(self) -> None: ...


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_change_that_breaks_workflows_under_way_is_noticed(path: Path) -> None:
    with pytest.raises(workflow.NondeterminismError):
        await Replayer(workflows=[Another]).replay_workflow(read(path))
