"""Sending, answering again and stopping: everything that begins or ends an execution on a caller's behalf."""

from collections.abc import Callable
from contextlib import suppress

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments.models import Owner, owner_of
from frontdesk.attachments.service import AttachmentService
from frontdesk.conversation.attaching import attach
from frontdesk.conversation.drafts import Draft, IfActive, answer_message, draft_message, execution_of
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import FINISHED, Execution, ExecutionState
from frontdesk.conversation.executions.stopping import Stopper
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.metering import Metering, Question
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import Thread
from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once, find_result, once
from frontdesk.errors import (
    ConflictError,
    ExecutionActiveError,
    IllegalTransitionError,
    LlmDisabledError,
    SenderMismatchError,
)
from frontdesk.identity.message_limits import MessageLimits, Reserved
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.ports.thread_log import EventType, StaleAttemptError, ThreadLog

_TRIES = 5
Within = Callable[[Connection, Message], None]


class _Begun(msgspec.Struct, frozen=True):
    """What a caller is given, and what must be started once it is stored."""

    message: Message
    execution: Execution | None
    holds_thread: bool


class ConversationService:
    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        engine: ExecutionEngine,
        attachments: AttachmentService,
        clock: Clock,
        limits: MessageLimits,
        llm_enabled: bool,
    ) -> None:
        self._database = database
        self._attachments = attachments
        self._log = log
        self._engine = engine
        self._clock = clock
        self._llm_enabled = llm_enabled
        self._metering = Metering(database, limits)
        self._stopper = Stopper(database=database, log=log, clock=clock, limits=limits)

    def require_model(self) -> None:
        """Raises `LlmDisabledError` when no answers are made here."""
        if not self._llm_enabled:
            raise LlmDisabledError

    async def send(
        self,
        principal: Principal,
        thread_id: str,
        draft: Draft,
        *,
        key: IdempotencyKey | None = None,
        within: Within | None = None,
        files_of: Owner | None = None,
    ) -> Once[Message]:
        """Store the caller's message and begin its answer; the message carries the `execution_id`.

        The draft's attachments are those of `files_of`, or the caller's own. `within` is done in the message's
        transaction, and what it raises undoes that. Raises `SenderMismatchError`, `NotFoundError`, `NotAllowedError`,
        `ExecutionActiveError`, `UnknownAttachmentError`, what `AttachmentService.complete` raises, and
        `LimitReachedError` for a draft that is metered.
        """
        if any(sender != principal.id for sender in draft.senders):
            raise SenderMismatchError
        owner = files_of or owner_of(principal)
        await self._attachments.complete_all(owner, draft.attachments)
        question = Question(principal, thread_id, text=draft.text, parent_id=draft.parent_id)
        async with self._metering.admitted(question, is_metered=draft.is_metered) as admission:

            def begin(connection: Connection) -> _Begun:
                thread = threads.get(connection, principal, thread_id, lock=True)
                if draft.parent_id is not None:
                    messages.get(connection, thread_id, draft.parent_id)
                _admit(thread, draft.if_active)
                begun = self._begin_message(connection, thread, draft, owner=owner, reserved=admission.reserved)
                if within is not None:
                    within(connection, begun.message)
                return begun

            sent = await self._begin(principal, thread_id, begin, key=key, if_active=draft.if_active)
            admission.is_used = not sent.replayed
            return sent

    async def append(
        self, principal: Principal, thread_id: str, draft: Draft, *, key: IdempotencyKey | None = None
    ) -> Once[Message]:
        """Store a message of any role, which nobody answers; it may come while an answer is under way.

        Raises `NotFoundError`, `NotAllowedError`.
        """

        def begin(connection: Connection) -> _Begun:
            thread = threads.get(connection, principal, thread_id, lock=True)
            now = self._clock.now()
            drafted = draft_message(thread, draft, parent_id=thread.leaf_message_id, execution_id=None, now=now)
            message = msgspec.structs.replace(drafted, status=MessageStatus.completed)
            return self._add_alone(connection, thread, message)

        return await self._begin(principal, thread_id, begin, key=key, if_active=draft.if_active)

    async def regenerate(
        self,
        principal: Principal,
        thread_id: str,
        message_id: str,
        *,
        model: str | None,
        if_active: IfActive,
        is_metered: bool = False,
        key: IdempotencyKey | None = None,
    ) -> Once[Message]:
        """Begin another answer beside an answer, or to a user's message; it becomes the branch that goes on.

        Raises as `send` does, and `LlmDisabledError`.
        """
        self.require_model()
        question = Question(principal, thread_id, parent_id=message_id)
        async with self._metering.admitted(question, is_metered=is_metered) as admission:

            def begin(connection: Connection) -> _Begun:
                thread = threads.get(connection, principal, thread_id, lock=True)
                source = _answered(connection, thread_id, message_id)
                _admit(thread, if_active)
                return self._begin_sibling(connection, thread, source, model=model, reserved=admission.reserved)

            begun = await self._begin(principal, thread_id, begin, key=key, if_active=if_active)
            admission.is_used = not begun.replayed
            return begun

    async def cancel(
        self, principal: Principal, thread_id: str, execution_id: str, *, key: IdempotencyKey | None = None
    ) -> Once[Execution]:
        """Stop an answer; when this returns, its partial text is stored and nothing follows on its log.

        Stopping a stopped one is fine. Raises `IllegalTransitionError` when it has completed or failed.
        """
        if key is not None and (known := await self._find_stopped(principal, thread_id, key)) is not None:
            return known
        execution = await self._read_execution(principal, thread_id, execution_id)
        stopped = await self._stop(execution)
        if stopped.state is not ExecutionState.interrupted:
            raise IllegalTransitionError(f"The answer is {stopped.state.value} already")
        return await self._database.write(lambda connection: once(connection, key, Execution, effect=lambda: stopped))

    async def stop_all(self, principal: Principal, thread_id: str) -> None:
        """Stop the thread's answer and those that wait behind it, last first, so that none is begun meanwhile."""

        def unfinished(connection: Connection) -> list[Execution]:
            threads.get(connection, principal, thread_id, include_deleted=True)
            return executions.list_unfinished(connection, thread_id)

        found = await self._database.read(unfinished)
        # All but the first, which has the thread: it may be under way, or begin at any moment.
        if waiting := [each for each in found[1:] if each.state is ExecutionState.queued]:
            await self._stopper.end_all(waiting[::-1])
            found = await self._database.read(unfinished)
        for execution in reversed(found):
            await self._stop(execution)

    async def count_unfinished(self) -> dict[str, int]:
        """How many executions there are in each state before the end, over all threads. Raises `UnavailableError`."""
        return await self._database.read(executions.count_unfinished)

    async def _begin(
        self,
        principal: Principal,
        thread_id: str,
        begin: Callable[[Connection], _Begun],
        *,
        key: IdempotencyKey | None,
        if_active: IfActive,
    ) -> Once[Message]:
        begun: list[_Begun] = []
        in_the_way: list[Execution] = []

        def effect(connection: Connection) -> Message:
            try:
                begun[:] = [begin(connection)]
            except ExecutionActiveError:
                in_the_way[:] = executions.list_unfinished(connection, thread_id)
                raise
            return begun[0].message

        def work(connection: Connection) -> Once[Message]:
            made = once(connection, key, Message, effect=lambda: effect(connection))
            if made.replayed:
                threads.get(connection, principal, thread_id, include_deleted=True)
            return made

        # Tried before anything is stopped: a request that is refused must not end an answer.
        for attempt in range(1, _TRIES + 1):
            try:
                stored = await self._database.write(work)
                break
            except ExecutionActiveError:
                if if_active is not IfActive.interrupt or attempt == _TRIES:
                    raise
            # Only what was there then: a repetition of this request may have begun its answer by now.
            for execution in reversed(in_the_way):
                await self._stop(execution)
        if not stored.replayed:
            self._announce(begun[0])
        return stored

    async def _find_stopped(self, principal: Principal, thread_id: str, key: IdempotencyKey) -> Once[Execution] | None:
        def work(connection: Connection) -> Once[Execution] | None:
            threads.get(connection, principal, thread_id, include_deleted=True)
            return find_result(connection, key, Execution)

        return await self._database.read(work)

    def _begin_message(
        self, connection: Connection, thread: Thread, draft: Draft, *, owner: Owner, reserved: Reserved | None
    ) -> _Begun:
        now = self._clock.now()
        parent_id = draft.parent_id or thread.leaf_message_id
        execution_id = new_id() if self._llm_enabled else None
        drafted = draft_message(thread, draft, parent_id=parent_id, execution_id=execution_id, now=now)
        message = attach(connection, owner, drafted, ids=draft.attachments)
        if execution_id is None:
            return self._add_alone(connection, thread, message)
        execution = execution_of(
            thread,
            execution_id=execution_id,
            user_message_id=message.id,
            model=draft.model,
            now=now,
            reserved=reserved,
        )
        messages.add(connection, message, answer_message(execution, position=message.position + 1, now=now))
        return self._hold(connection, thread, execution, message=message, count=2)

    @staticmethod
    def _add_alone(connection: Connection, thread: Thread, message: Message) -> _Begun:
        messages.add(connection, message)
        count, active = thread.message_count + 1, thread.active_execution_id
        threads.change_head(connection, thread.id, active=active, leaf=message.id, count=count, at=message.created_at)
        return _Begun(message, None, holds_thread=False)

    def _begin_sibling(
        self,
        connection: Connection,
        thread: Thread,
        source: Message,
        *,
        model: str | None,
        reserved: Reserved | None,
    ) -> _Begun:
        now = self._clock.now()
        execution = execution_of(
            thread,
            execution_id=new_id(),
            user_message_id=source.id,
            model=model or source.model,
            now=now,
            reserved=reserved,
        )
        answer = answer_message(execution, position=thread.message_count + 1, now=now)
        messages.add(connection, answer)
        changes = {"execution_id": execution.id, "status": MessageStatus.queued, "updated_at": now}
        messages.change(connection, source.id, changes)
        return self._hold(connection, thread, execution, message=answer, count=1)

    @staticmethod
    def _hold(connection: Connection, thread: Thread, execution: Execution, *, message: Message, count: int) -> _Begun:
        executions.add(connection, execution)
        threads.change_head(
            connection,
            thread.id,
            active=thread.active_execution_id or execution.id,
            leaf=execution.message_id,
            count=thread.message_count + count,
            at=execution.created_at,
        )
        return _Begun(message, execution, holds_thread=thread.active_execution_id is None)

    def _announce(self, begun: _Begun) -> None:
        message, execution = begun.message, begun.execution
        self._log.announce(message.thread_id, entries=[(EventType.message_added, msgspec.json.encode(message))])
        if execution is not None:
            with suppress(StaleAttemptError):  # it was stopped before it was announced
                self._log.append(message.thread_id, execution.id, 0, entries=[(EventType.execution_queued, b"{}")])
            if begun.holds_thread:
                self._engine.start(execution.id)

    async def _read_execution(self, principal: Principal, thread_id: str, execution_id: str) -> Execution:
        def work(connection: Connection) -> Execution:
            threads.get(connection, principal, thread_id)
            return executions.get(connection, thread_id, execution_id)

        return await self._database.read(work)

    async def _stop(self, execution: Execution) -> Execution:
        """Bring it to an end, wherever it is, and return how it ended."""
        for _ in range(_TRIES):
            if execution.state in FINISHED:
                return execution
            if not await self._engine.cancel(execution.id):
                next_id = await self._stopper.stop(execution)
                if next_id is not None:
                    self._engine.start(next_id)
            execution = await self._database.read(
                lambda connection: executions.get(connection, execution.thread_id, execution.id)  # noqa: B023  awaited here
            )
        if execution.state in FINISHED:
            return execution
        raise ConflictError("The answer could not be stopped; try again")


def _admit(thread: Thread, if_active: IfActive) -> None:
    if thread.active_execution_id is not None and if_active is not IfActive.queue:
        raise ExecutionActiveError(active_execution_id=thread.active_execution_id)


def _answered(connection: Connection, thread_id: str, message_id: str) -> Message:
    """What a message answers; itself, when it is no answer."""
    message = messages.get(connection, thread_id, message_id)
    if message.role is not Role.assistant:
        return message
    parent = None if message.parent_id is None else messages.get(connection, thread_id, message.parent_id)
    if parent is None or parent.role is Role.assistant:
        raise ConflictError("The message answers nothing")
    return parent
