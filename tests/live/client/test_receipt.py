"""Receipts: read on any thread, awaited on any loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chatlab.errors import ChatSendError, InvalidMessage
from chatlab.live.client.receipt import Receipt, Receipts
from chatlab.live.waiter import Waiter
from chatlab.messages import DeliveryState, OutgoingMessage
from chatlab.transports.machine import Settle
from tests.live.watch import PATIENCE, until

S = DeliveryState


def accepted(acks: bool = True) -> tuple[Receipts, Receipt]:
    receipts = Receipts(acks=acks)
    return receipts, receipts.new(OutgoingMessage(text="x", client_id="a"))


def settle(state: DeliveryState, reason: str = "", status: int | None = None) -> Settle:
    return Settle("a", state, reason, status)


async def test_sent_is_final_only_without_acks() -> None:
    (some, with_acks), (others, without) = accepted(), accepted(acks=False)
    assert (with_acks.state, with_acks.final, with_acks.client_id) == (S.QUEUED, False, "a")
    for receipts in (some, others):
        receipts.settle(settle(S.SENT))
    assert (with_acks.final, without.final) == (False, True)
    assert await without.settled() is S.SENT
    assert repr(without) == "Receipt('a', sent)"


class Quick(Waiter, kw_only=True):
    """A waiter on another thread that has sent the same id again before `wake` returns."""

    receipts: Receipts
    again: list[Receipt]

    def wake(self) -> bool:
        self.again.append(self.receipts.new(OutgoingMessage(text="y", client_id="a")))
        return True


async def test_the_id_of_a_settled_message_is_free_before_anyone_is_notified() -> None:
    receipts, one = accepted()
    quick = Quick(receipts=receipts, again=[])
    one._waiters.append(quick)
    receipts.settle(settle(S.ACKED))
    (again,) = quick.again
    assert (one.state, again.state, len(receipts)) == (S.ACKED, S.QUEUED, 1)
    receipts.settle(settle(S.SENT))
    assert again.state is S.SENT


async def test_A93_a_transport_that_gives_up_ends_waits_with_or_error() -> None:
    receipts, one = accepted()
    patient = asyncio.create_task(one.settled())
    others = [asyncio.create_task(one.settled(or_error=True)) for _ in range(2)]
    cancelled = asyncio.create_task(one.settled(or_error=True))
    await asyncio.sleep(0)
    cancelled.cancel()
    receipts.gave_up(False)
    await asyncio.sleep(0)
    assert not any(task.done() for task in (patient, *others))
    receipts.gave_up(True)
    assert set(await asyncio.wait_for(asyncio.gather(*others), PATIENCE)) == {S.QUEUED}
    assert await asyncio.wait_for(one.settled(or_error=True), PATIENCE) is S.QUEUED, "at once"
    receipts.gave_up(False)
    again = asyncio.create_task(one.settled(or_error=True))
    await asyncio.sleep(0)
    assert not again.done(), "it connects anew"
    receipts.settle(settle(S.ACKED))
    assert set(await asyncio.wait_for(asyncio.gather(patient, again), PATIENCE)) == {S.ACKED}
    assert not one._gave_up.waiters, "nobody is kept"


async def test_A93_a_wait_on_another_loop_ends_too() -> None:
    receipts, one = accepted()

    def elsewhere() -> DeliveryState:
        return asyncio.run(asyncio.wait_for(one.settled(or_error=True), PATIENCE))

    with ThreadPoolExecutor() as pool:
        waiting = asyncio.get_running_loop().run_in_executor(pool, elsewhere)
        await until(lambda: bool(one._gave_up.waiters))
        receipts.gave_up(True)
        assert await waiting is S.QUEUED


@pytest.mark.parametrize(
    ("final", "error"),
    [
        (settle(S.ACKED), None),
        (settle(S.FAILED, "too long", 413), "the server refused the message (413): too long"),
        (settle(S.FAILED), "the message was not accepted"),
        (settle(S.DROPPED, "full"), "dropped: full"),
        (settle(S.EXPIRED, "old"), "expired: old"),
    ],
)
async def test_the_final_state_comes_with_its_reason(final: Settle, error: str | None) -> None:
    receipts, one = accepted()
    waiters = [asyncio.create_task(one.settled()) for _ in range(3)]
    await asyncio.sleep(0)
    receipts.settle(settle(S.SENT))
    assert not any(waiter.done() for waiter in waiters)
    receipts.settle(final)
    assert await asyncio.wait_for(asyncio.gather(*waiters, one.settled()), PATIENCE) == [final.state] * 4
    assert (None if one.error is None else str(one.error)) == error
    assert isinstance(one.error, ChatSendError) == (final.state is S.FAILED)


async def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    receipts, one = accepted()
    first, second = asyncio.create_task(one.settled()), asyncio.create_task(one.settled())
    await until(lambda: len(one._waiters) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(one._waiters) == 1
    receipts.settle(settle(S.ACKED))
    assert await second is S.ACKED


@pytest.mark.parametrize("wake", [True, False])
async def test_a_receipt_settled_just_before_a_wait_is_not_waited_for(wake: bool) -> None:
    receipts, one = accepted()

    class Late(list[Any]):
        def append(self, waiter: Any) -> None:
            if wake:
                super().append(waiter)
            receipts.settle(settle(S.ACKED))  # On another thread, which may have seen the waiter or not.
            if not wake:
                super().append(waiter)

    one._waiters = Late()
    assert await asyncio.wait_for(one.settled(), PATIENCE) is S.ACKED


async def test_a_waiter_cancelled_when_already_woken_does_no_harm() -> None:
    receipts, one = accepted()
    task = asyncio.create_task(one.settled())
    await until(lambda: len(one._waiters) == 1)
    receipts.settle(settle(S.ACKED))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert one._waiters == []
    assert await one.settled() is S.ACKED


async def test_other_loops_and_threads_may_wait() -> None:
    receipts, one = accepted()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(asyncio.run, one.settled()) for _ in range(4)]
        await until(lambda: len(one._waiters) == 4)
        receipts.settle(settle(S.ACKED))
        assert [future.result(PATIENCE) for future in futures] == [S.ACKED] * 4


def test_a_waiter_whose_loop_has_closed_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    receipts, one = accepted()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.settled(), 0.01)

    asyncio.run(impatient())
    receipts.settle(settle(S.ACKED))
    assert asyncio.run(one.settled()) is S.ACKED
    assert caplog.records == []


def test_a_client_id_is_free_again_once_its_message_is_settled_or_was_not_accepted() -> None:
    receipts = Receipts(acks=True)
    first, other = (OutgoingMessage(text="x", client_id=id) for id in "ab")
    one, two = receipts.new(first), receipts.new(other)
    with pytest.raises(InvalidMessage, match="'a' is still on its way"):
        receipts.new(first)
    assert receipts.messages() == [first, other]
    receipts.withdraw(two)
    assert receipts.settle(settle(S.SENT)) is one
    assert (one.state, receipts.messages()) == (S.SENT, [first])
    assert receipts.settle(settle(S.ACKED)) is one
    assert (one.state, len(receipts)) == (S.ACKED, 0)
    assert receipts.settle(settle(S.ACKED)) is None
    assert receipts.new(first) is not one


async def test_a_waiter_may_send_the_id_again_at_once() -> None:
    receipts = Receipts(acks=True)
    message = OutgoingMessage(text="x", client_id="a")

    async def again() -> Receipt:
        await receipts.new(message).settled()
        return receipts.new(message)

    task = asyncio.create_task(again())
    await until(lambda: len(receipts) == 1)
    receipts.settle(settle(S.FAILED))
    assert (await asyncio.wait_for(task, PATIENCE)).state is S.QUEUED
