"""The clients of serve.py: one thread with plain sockets, and requests that are made before.

    python benchmarks/serve_clients.py PORT FOLDER COUNT

prints what they saw, as JSON.
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

NUM_CLIENTS = 16
PATIENCE_S = 120.0


@dataclass
class Tally:
    """What clients saw: seconds of each answer, answers by status, and requests without one."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    wall_s: float = 0.0


class Client:
    """A connection, and the answer that it waits for."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        # A whole request fits, so that sending one does not keep the others waiting.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._answer = b""

    def ask(self, request: bytes) -> None:
        self.start = time.perf_counter()
        self._answer = b""
        self.socket.sendall(request)

    def heard(self) -> tuple[int, bool] | None:
        """The status, and whether the connection ends, once all of the answer is here.

        OSError where it ended before.
        """
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionResetError
        self._answer += part
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if not end or length is None or len(body) < int(length[1]):
            return None
        return int(head.split(b" ", 2)[1]), b"connection: close" in head.lower()


def ask(port: int, bodies: list[bytes], count: int, tally: Tally) -> None:
    """Ask `count` times over kept connections, or until nobody listens any more."""
    requests = [request(body) for body in bodies]
    left = iter(range(count))
    with selectors.DefaultSelector() as selector:

        def next_one(client: Client | None) -> None:
            """Let a client, or a new one, ask the next time, if there is one."""
            number = next(left, None)
            if number is None:
                if client is not None:
                    client.socket.close()
                return
            try:
                client = client or Client(port)
            except OSError:  # it ended: nothing was sent
                return
            try:
                client.ask(requests[number % len(requests)])
            except OSError:
                tally.lost += 1
                next_one(None)
                return
            selector.register(client.socket, selectors.EVENT_READ, client)

        for _ in range(NUM_CLIENTS):
            next_one(None)
        while waiting := len(selector.get_map()):
            events = selector.select(PATIENCE_S)
            if not events:
                tally.lost += waiting
                return
            for key, _ in events:
                hear(key.data, selector, tally, next_one)


def hear(
    client: Client,
    selector: selectors.BaseSelector,
    tally: Tally,
    next_one: Callable[[Client | None], None],
) -> None:
    """Take in what came for a client; with a whole answer, or none to come, it goes on."""
    try:
        answer = client.heard()
    except OSError:
        tally.lost += 1
        selector.unregister(client.socket)
        client.socket.close()
        next_one(None)
        return
    if answer is None:
        return
    status, is_last = answer
    tally.seconds.append(time.perf_counter() - client.start)
    tally.statuses[status] = tally.statuses.get(status, 0) + 1
    selector.unregister(client.socket)
    if is_last:
        client.socket.close()
    next_one(None if is_last else client)


def request(body: bytes) -> bytes:
    head = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    port, folder, count = sys.argv[1:]
    bodies = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))[:64]]
    tally = Tally()
    start = time.perf_counter()
    ask(int(port), bodies, int(count), tally)
    tally.wall_s = time.perf_counter() - start
    print(json.dumps(vars(tally)))


if __name__ == "__main__":
    main()
