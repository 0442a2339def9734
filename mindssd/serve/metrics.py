"""What Prometheus is told."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)
KNOWN_PATHS = frozenset(
    {"/", "/v1/detect", "/v1/model", "/v1/models", "/healthz", "/readyz", "/metrics"}
)
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Metrics:
    """The service's own registry: its labels have few values, whatever is asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "mindssd_requests", "Requests answered", ["method", "path", "status"], registry=own
        )
        self.seconds = Histogram(
            "mindssd_request_seconds",
            "From head to answer",
            ["path"],
            buckets=_SECONDS,
            registry=own,
        )
        self.images = Counter("mindssd_images", "Images looked at", ["model"], registry=own)
        self.detections = Counter("mindssd_detections", "Detections given", ["model"], registry=own)
        self.unreadable = Counter("mindssd_unreadable_images", "Images not decoded", registry=own)
        self.queue = Gauge("mindssd_queue", "Network inputs that wait or run", registry=own)
        self.buffered = Gauge("mindssd_buffered_bytes", "Bytes of bodies in memory", registry=own)
        self.batch_size = Histogram(
            "mindssd_batch_size",
            "Network inputs taken at once",
            ["model"],
            buckets=_COUNTS,
            registry=own,
        )
        self.batch_seconds = Histogram(
            "mindssd_batch_seconds", "What a batch takes", ["model"], buckets=_SECONDS, registry=own
        )
        self.reloads = Counter(
            "mindssd_reloads", "Files that were replaced", ["model", "taken"], registry=own
        )

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        path = path if path in KNOWN_PATHS else "other"
        method = method if method in _METHODS else "other"
        self.requests.labels(method, path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
