"""What a service may be told: where it listens, and what it takes from others."""

import re
from dataclasses import dataclass, field

from mindssd.errors import ConfigError
from mindssd.platform import available_cores

TOKEN_VARIABLE = "MINDSSD_TOKEN"
"""The environment variable with the token that requests must bear."""


_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")
"""As a browser writes it in the header Origin: no path behind it, not even a slash."""


def _default_threads() -> int:
    return min(4, available_cores())


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, so that memory and time stay bounded whoever asks."""

    max_body_bytes: int = 32 << 20
    max_images: int = 16
    """Of one request."""
    max_pixels: int = 50_000_000
    """Of one image, told by its header before it is decoded."""
    queue_size: int = 64
    """Network inputs (images, or their tiles) that wait or run, of all requests together."""
    buffered_bytes: int = 256 << 20
    """Of bodies in memory, of all requests together."""
    body_s: float = 20.0
    """In which a body must have come."""
    idle_s: float = 15.0
    """In which a connection must have sent the whole head of a request."""
    timeout_s: float = 30.0
    """In which a request is answered once its head has come."""
    max_connections: int = 1000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a service listens and works."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_batch: int = 8
    max_wait_s: float = 0.005
    """How long a batch waits for requests that are on their way."""
    num_threads: int = field(default_factory=_default_threads)
    """Threads that decode and post-process."""
    origins: tuple[str, ...] = ()
    """Other sites whose pages may ask: CORS."""
    token: str | None = None
    access_log: bool = True
    reload_s: float = 1.0
    """How often a model's file is looked at."""
    drain_s: float = 1.0
    """How long a connection that is kept open may still send a request at the end."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for origin in self.origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ConfigError(
                    f"--cors {origin}: expected a site as browsers name it, such as "
                    "https://their.site, in small letters and without a path; or * for all"
                )
