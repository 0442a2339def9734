"""What a client is told that does not get what it asked for."""

from starlette.responses import JSONResponse


class RefusalError(Exception):
    """An answer with a status other than 200 and a line that says why."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": self.message}, self.status, headers)


def busy(what: str) -> RefusalError:
    return RefusalError(429, f"{what}: too much is asked at once; try again in a second", 1)
