"""The routes of the service, and how they are described."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from mindssd.deploy.manifest import own_thresholds
from mindssd.serve.answers import as_coco, as_json
from mindssd.serve.bodies import Buffered, in_a_line, read_request, validated
from mindssd.serve.detecting import Detecting, Looked
from mindssd.serve.guard import Guard, Token, to_stdout
from mindssd.serve.metrics import CONTENT_TYPE_LATEST, Metrics
from mindssd.serve.models import Models, Served
from mindssd.serve.options import (
    PIXEL,
    ErrorBody,
    Found,
    FoundCoco,
    JsonBody,
    ModelInfo,
    ModelList,
    Options,
    State,
    from_words,
)
from mindssd.serve.own_page import add_page
from mindssd.serve.presence import while_there
from mindssd.serve.refusals import RefusalError
from mindssd.serve.settings import Settings

_WHY = {
    400: "The body is damaged: no form, no JSON, or ended in the middle",
    401: "Without the token",
    404: "No model of that name",
    408: "The body came too slowly",
    413: "Larger than is taken",
    415: "Of a type that is not taken",
    422: "No image, one that cannot be read, or a setting out of range",
    429: "Too much is asked at once: see Retry-After",
    503: "Not done in time",
}

_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Files, under any name; other fields are settings.",
                    }
                },
            }
        },
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {
            "schema": {"$ref": "#/components/schemas/JsonBody"},
            "examples": {"one": {"value": {"image": PIXEL, "score": 0.5}}},
        },
    },
}

_log = logging.getLogger(__name__)


class Service:
    """What the routes share."""

    def __init__(
        self, settings: Settings, metrics: Metrics, models: Models, detecting: Detecting
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.models = models
        self.detecting = detecting
        self.buffered = Buffered(settings.limits.buffered_bytes)
        self.is_ending = False

    def end(self) -> None:
        """From now on it is not ready, and each answer closes its connection."""
        self.is_ending = True

    def model(self, name: str | None) -> Served:
        if name is None:
            return self.models.default
        if name not in self.models.by_name:
            known = ", ".join(self.models.by_name)
            raise RefusalError(404, f"no model is called {name[:100]!r}; there are {known}")
        return self.models.by_name[name]

    async def detect(self, request: Request, query: Options) -> Response:
        limits = self.settings.limits
        timeout = min(query.timeout_s or limits.timeout_s, limits.timeout_s)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(timeout) as deadline:
                with self.buffered.account() as account:
                    asked = await read_request(request, query, limits, account)
                    if asked.options.timeout_s is not None:
                        own = started + asked.options.timeout_s
                        deadline.reschedule(min(deadline.when() or own, own))
                    answer = self._answer(request, asked.images, asked.options)
                    return await while_there(request.receive, answer)
        except TimeoutError:
            raise RefusalError(503, "not done in time; try again later", 1) from None

    async def _answer(
        self, request: Request, images: list[tuple[str, bytes]], options: Options
    ) -> Response:
        if options.format == "image" and len(images) > 1:
            raise RefusalError(422, f"{len(images)} images are sent; format=image takes one")
        served = self.model(options.model)
        metadata = served.opened.metadata
        request.scope["mindssd"] |= {"model": served.name, "images": len(images)}
        looked = await self.detecting.detect(served, images, options)
        self._count(served.name, looked)
        errors = [one.error for one in looked if one.error is not None]
        if len(errors) == len(looked):
            raise RefusalError(422, errors[0])
        if options.format == "coco":
            return as_coco(metadata, looked)
        if options.format == "image":
            content = await self.detecting.drawn(images[0], looked[0].detections)
            return Response(content, media_type="image/jpeg")
        return as_json(served.name, looked)

    def _count(self, name: str, looked: list[Looked]) -> None:
        self.metrics.images.labels(name).inc(len(looked))
        self.metrics.detections.labels(name).inc(sum(len(one.detections) for one in looked))
        self.metrics.unreadable.inc(sum(one.error is not None for one in looked))

    def info(self, served: Served) -> dict[str, Any]:
        opened = served.opened
        metadata = opened.metadata
        nms = opened.manifest.nms if opened.manifest else None
        return {
            "name": served.name,
            "classes": metadata.class_names,
            "category_ids": metadata.category_ids,
            "image_size": metadata.image_size,
            "score": opened.predictor.postprocess.selection.score_threshold,
            "thresholds": own_thresholds(metadata),
            "lowest_score": nms.score_threshold if nms else 0.0,
            "metrics": metadata.metrics,
            "runtime": opened.description,
            "batch_sizes": served.runner.sizes,
            "side_by_side": served.runner.num_side_by_side,
            "generation": served.generation,
            "reload_error": served.reload_error,
        }


def build_app(service: Service) -> ASGIApp:
    """The routes with all that stands before them."""
    app = FastAPI(
        title="mindssd",
        summary="Detects objects in images.",
        docs_url=None,  # their scripts come from another host
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # to wherever the header Host says
        separate_input_output_schemas=False,
    )
    _add_errors(app)
    _add_detect(app, service)
    _add_models(app, service)
    _add_states(app, service)
    add_page(app)
    app.add_route("/openapi.json", lambda request: JSONResponse(_described(app, service)))
    settings = service.settings
    guarded: ASGIApp = app
    if settings.token is not None:
        guarded = Token(app, settings.token)
    if settings.origins:  # around the token: who lacks it may read that it does
        guarded = CORSMiddleware(
            guarded,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    log = to_stdout if settings.access_log else None
    return Guard(guarded, service.metrics, lambda: service.is_ending, log)


def _add_errors(app: FastAPI) -> None:
    def refused(request: Request, error: Any) -> Response:
        return error.response()  # type: ignore[no-any-return]

    def invalid(request: Request, error: Any) -> Response:
        return RefusalError(422, in_a_line(error.errors())).response()

    def plain(request: Request, error: Any) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    app.add_exception_handler(RefusalError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": _WHY[status]} for status in statuses}


def _add_detect(app: FastAPI, service: Service) -> None:
    image = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
    found = {"model": Found | FoundCoco, "content": image, "description": "What was found"}

    @app.post(
        "/v1/detect",
        summary="Detect objects in one or several images",
        openapi_extra={"requestBody": _BODY, "parameters": _parameters()},
        responses={200: found, **_errors(*_WHY)},
        response_class=Response,
    )
    async def detect(request: Request) -> Response:
        # FastAPI's own reading of a model in the query takes a third of all that is not detecting.
        given = request.query_params
        values = from_words({name: given.getlist(name) for name in given})
        return await service.detect(request, validated(Options, values))


def _parameters() -> list[dict[str, Any]]:
    """OpenAPI's description of the settings in a query."""
    described = Options.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in described.items()
    ]


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model", summary="A model, by default the first", responses=_errors(401, 404, 422))
    async def model(name: Annotated[str | None, Query(max_length=200)] = None) -> ModelInfo:
        return ModelInfo.model_validate(service.info(service.model(name)))

    @app.get("/v1/models", summary="All models", responses=_errors(401))
    async def models() -> ModelList:
        return ModelList.model_validate(
            {"models": [service.info(one) for one in service.models.by_name.values()]}
        )


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether it lives")
    async def healthz() -> State:
        return State(status="ok")

    @app.get(
        "/readyz",
        summary="Whether requests may be sent: not any more once it ends",
        responses={503: {"model": State, "description": "It ends"}},
    )
    async def readyz(response: Response) -> State:
        response.status_code = 503 if service.is_ending else 200
        return State(status="ending" if service.is_ending else "ok")

    @app.get(
        "/metrics",
        summary="For Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_errors(401)},
    )
    async def metrics() -> Response:
        service.metrics.queue.set(service.detecting.queue.now)
        service.metrics.buffered.set(service.buffered.now)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _described(app: FastAPI, service: Service) -> dict[str, Any]:
    """OpenAPI, with what the routes read themselves, and the token where one is asked for."""
    described = app.openapi()
    schemas = described["components"]["schemas"]
    if "JsonBody" not in schemas:
        own = JsonBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs", {}) | {"JsonBody": own}
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        if service.settings.token is not None:
            described["components"]["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"}
            }
            described["security"] = [{"token": []}]
    return described
