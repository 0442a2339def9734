"""Items taken in a thread of their own, before they are asked for."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

AHEAD_THREAD = "mindssd-ahead"
"""The name of the threads."""

LEAVE_S = 2.0
"""How long the end of `ahead` waits for an item that is being taken, such as a camera's."""

_COUNT = 4
_POLL_S = 0.1

_Item = TypeVar("_Item")


def _never() -> bool:
    return False


def ahead(
    items: Iterable[_Item], until: Callable[[], bool] = _never
) -> Generator[_Item, None, None]:
    """Take items in a thread of their own, at most _COUNT before they are asked for.

    For what can only be read in order, as a video's frames. An error comes where its item would.
    It ends without further items once `until` says so, whether or not the next one comes. A
    generator given as `items` is closed in the thread that it ran in; one that hangs in its next
    item for LEAVE_S after the end is left behind.
    """
    taker = _Taker(items)
    thread = threading.Thread(target=taker.run, name=AHEAD_THREAD, daemon=True)
    thread.start()
    try:
        while not until():
            try:
                future = taker.ready.get(timeout=_POLL_S)
            except Empty:
                continue
            if future is None:
                break
            yield future.result()
    finally:
        taker.left.set()
        thread.join(LEAVE_S)


class _Taker(Generic[_Item]):
    """Takes items into `ready`, None behind the last one, until they are at an end or `left`."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self.ready: Queue[Future[_Item] | None] = Queue(_COUNT)
        self.left = threading.Event()
        self._items = items

    def run(self) -> None:
        iterator = iter(self._items)
        while not self.left.is_set():
            future: Future[_Item] = Future()
            try:
                future.set_result(next(iterator))
            except StopIteration:
                break
            except BaseException as error:
                future.set_exception(error)
                self._put(future)
                break
            self._put(future)
        if isinstance(iterator, Generator):
            iterator.close()  # here, where it ran: what it holds open is closed
        self._put(None)

    def _put(self, future: Future[_Item] | None) -> None:
        while not self.left.is_set():
            with suppress(Full):
                self.ready.put(future, timeout=_POLL_S)
                return
