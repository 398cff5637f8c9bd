"""A process pool. If a process dies, only its call fails; and the pool can be killed at once.

`concurrent.futures.ProcessPoolExecutor` fails all calls when one process dies, and waits for all running
calls when it ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, TypeVar

MAIN_GUARD = 'a script must call it under `if __name__ == "__main__":`'

P = ParamSpec("P")
T = TypeVar("T")


class ProcessDied(RuntimeError):
    """The process that ran a call has ended, or no process could be started."""


class _Task(NamedTuple):
    future: Future[Any]
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class ProcessPool(Executor):
    """At most `count` processes of a `multiprocessing` context, started on demand.

    As a context manager, it kills the processes if an exception, such as an interrupt, ends the block. They
    also end with this process.
    """

    def __init__(self, count: int, context: BaseContext) -> None:
        self._count = count
        self._context = context
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False
        self._killed = False
        self._unusable = ""
        self._workers: set[_Worker] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a process. Errors: `RuntimeError` after `shutdown`."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._tasks.append(_Task(future, (fn, args, kwargs)))
            self._changed.notify()
            if len(self._tasks) > self._idle and len(self._threads) < self._count:
                thread = threading.Thread(target=self._serve_calls, name="chatlab-pool", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and end the processes after the accepted ones."""
        with self._changed:
            self._closed = True
            if cancel_futures:
                for task in self._tasks:
                    task.future.cancel()
            self._changed.notify_all()
        if wait:
            for thread in self._threads:
                thread.join()

    def kill(self) -> None:
        """End the processes now. Running calls fail, and waiting ones are cancelled."""
        self._killed = True
        self.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._workers):
            worker.process.kill()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.kill()

    # One thread for each process

    def _serve_calls(self) -> None:
        worker: _Worker | None = None
        while (task := self._next()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                if worker is None or worker.ended:  # It died while it was idle.
                    self._forget(worker)
                    worker = None
                    worker = self._start()
                task.future.set_result(worker.run(task.call))
            except ProcessDied as died:
                self._forget(worker)
                worker = None
                task.future.set_exception(died)
            except BaseException as error:
                task.future.set_exception(error)
        self._forget(worker)

    def _next(self) -> _Task | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._tasks or self._closed)
            self._idle -= 1
            return self._tasks.popleft() if self._tasks else None

    def _start(self) -> _Worker:
        if self._unusable:
            raise ProcessDied(self._unusable)
        worker = _Worker(self._context)
        self._workers.add(worker)
        if self._killed:
            worker.process.kill()
        try:
            worker.wait_until_ready()
        except ProcessDied as died:
            self._forget(worker)
            self._unusable = f"no process could be started: {died}; {MAIN_GUARD}"
            raise ProcessDied(self._unusable) from None
        return worker

    def _forget(self, worker: _Worker | None) -> None:
        if worker is not None:
            worker.close()
            self._workers.discard(worker)


class _Worker:
    """The parent's side of a process."""

    _lock = threading.Lock()  # When multiprocessing starts a process, it may poll all others.

    def __init__(self, context: BaseContext) -> None:
        self._connection, worker_end = context.Pipe()
        self.process = context.Process(target=_run_worker, args=(worker_end,), daemon=True)  # type: ignore[attr-defined]  # typeshed lacks it
        with self._lock:
            self.process.start()
        worker_end.close()

    def wait_until_ready(self) -> None:
        """Wait until the process has loaded its modules. Errors: `ProcessDied`."""
        self._receive()

    def run(self, call: tuple[Any, ...]) -> Any:
        """Return the call's result, or raise its exception. Errors: also `ProcessDied`."""
        try:
            self._connection.send(call)
        except OSError:  # The process has ended.
            raise self._died() from None
        succeeded, value = self._receive()
        if succeeded:
            return value
        raise value

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        with self._lock:
            return not self.process.is_alive()

    def close(self) -> None:
        """Close the connection, which ends the process, and wait for it."""
        self._connection.close()
        with self._lock:
            self.process.join()

    def _receive(self) -> Any:
        wait([self._connection, self.process.sentinel])
        try:
            if self._connection.poll():
                return self._connection.recv()
        except (EOFError, OSError):
            pass
        raise self._died()

    def _died(self) -> ProcessDied:
        with self._lock:
            self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
            how = f"was killed ({name}); is there enough memory?"
        else:
            how = f"has ended (exit code {code})"
        return ProcessDied(f"process {self.process.pid} {how}")


# The child process


def _run_worker(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends the calls.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        connection.send(None)
        while True:
            _answer(connection, connection.recv_bytes())
    except (EOFError, OSError):
        return


def _answer(connection: Connection, call: bytes) -> None:
    try:
        function, arguments, named = ForkingPickler.loads(call)
        answer = (True, function(*arguments, **named))
    except BaseException as error:
        answer = (False, error)
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # The answer can't be pickled.
        connection.send((False, RuntimeError(f"the answer can't be sent: {type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
