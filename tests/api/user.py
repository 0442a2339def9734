"""A user's program, as `mypy --strict` sees it: each function of mindssd with its types."""

from collections.abc import Mapping
from pathlib import Path

import mindssd
from mindssd.training.callbacks import EpochDone, EvaluationDone, RunEnd, StepDone
from mindssd.types import Array, Detections


def each_step(done: StepDone) -> bool:
    return done.loss > 100 and done.learning_rate > 0.1


def each_epoch(done: EpochDone) -> None:
    print(done.epoch, done.epochs)


def each_evaluation(done: EvaluationDone) -> bool | None:
    ap = done.metrics["AP"]
    return ap is not None and ap > 0.9


def end(run: RunEnd) -> None:
    print(run.folder / "log.jsonl", run.status, run.outcome and run.outcome.best)


def main(data: Path, picture: Array) -> None:
    settings: Mapping[str, object] = {"data_dir": data, "schedule": {"learning_rate": 0.01}}
    run = mindssd.train(
        settings,
        config="small_data",
        on_step=each_step,
        on_epoch=each_epoch,
        on_evaluation=each_evaluation,
        on_end=end,
    )
    again = mindssd.train(["epochs=9"], resume=run.folder, adapt=True)
    ap: float = again.metrics["AP"]
    assert run.model is not None
    evaluation = mindssd.evaluate(run.model, f"data_dir={data}", protocol="coco", quiet=True)
    best: float | None = evaluation.ap
    path: Path = mindssd.export(run.model, settings, format="openvino", nms=True)
    done = mindssd.predict(path, ["a.jpg", data], save=["json"], classes=["cat"], score=0.5)
    print(ap, best, done.num_detections, done.errors, done.results)

    detector = mindssd.load(path, score_threshold=0.3, classes=("cat",), runtime="openvino")
    one: Detections = detector(picture, channels="bgr")
    several: list[Detections] = detector(["a.jpg", "https://example.org/b.jpg", b"", picture])
    for name, score, (x1, y1, x2, y2) in one:
        print(name.upper(), score + 1, x2 - x1, y2 - y1)
    rows: list[dict[str, object]] = [dict(row) for row in one.to_coco(7)]
    print(rows, len(several), one.to_supervision(), one.to_pandas(), mindssd.__version__)
