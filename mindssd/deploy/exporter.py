"""One export: the file written, compared with the engine, and made again in a smaller type."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from mindssd.build.data import build_dataset, with_classes_of
from mindssd.build.graph import export_mindir, raw_onnx
from mindssd.build.model import deployed_predictor, load_model
from mindssd.build.network import build_default_boxes, recipe_of
from mindssd.build.predictor import build_predictor
from mindssd.config.schema import Config, DetectionConfig
from mindssd.data.dataset import DetectionDataset
from mindssd.deploy.manifest import (
    FOR_PEOPLE,
    MAX_DETECTIONS,
    InGraphNMS,
    Manifest,
    threshold_line,
)
from mindssd.deploy.samples import readable_images
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.settings import SIMPLE_READERS, ExportSettings
from mindssd.deploy.targets.mindir import write_description
from mindssd.deploy.targets.openvino import write_openvino
from mindssd.deploy.targets.web.check import verify_page
from mindssd.deploy.targets.web.folder import MODEL, sizes, write_page
from mindssd.deploy.targets.web.runtime import runtime_files
from mindssd.deploy.verify import Reference, average_precision
from mindssd.engines.base import Parameters
from mindssd.errors import EngineError, MindSSDError
from mindssd.evaluation.protocol import COCO, Protocol
from mindssd.evaluation.scores import Evaluation
from mindssd.geometry.selection import Selection
from mindssd.inference.predictor import Predictor
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata

if TYPE_CHECKING:
    import onnx

    from mindssd.deploy.targets.tflite_values import Int8


COMPARED = replace(FOR_PEOPLE, across_classes_iou=None)
"""What the detections of sample images are compared by, for a file without NMS inside."""


class Exporter:
    """One export of a network that runs, against the engine it was trained with."""

    def __init__(
        self,
        path: Path,
        config: Config,
        metadata: ModelMetadata,
        settings: ExportSettings,
        console: Console,
    ) -> None:
        self.path = path
        self.config = config
        self.metadata = metadata
        self.settings = settings
        self.console = console
        model = load_model(path, config)
        self.parameters: Parameters = model.network.parameters()
        self.default_boxes = build_default_boxes(config, model.network.grids)
        dataset: DetectionDataset | None = None
        if config.data_dir:
            dataset = build_dataset(config, "val", model=path)
            dataset = with_classes_of(dataset, metadata.class_names, path)
            for line in dataset.report.lines():
                self._say(line)
        if settings.nms is not None and config.detection != DetectionConfig():
            self._say("NMS inside is greedy: its detections are without soft-NMS and box voting")
            config = msgspec.structs.replace(config, detection=DetectionConfig())
        self.compared = COMPARED if settings.nms is None else _selection_of(settings.nms)
        self.engine = Reference(
            build_predictor(config, model.network, model.class_names, self.compared, batch_size=1),
            dataset,
            COCO if settings.nms is None else _protocol_of(settings.nms),
            console,
        )

    def run(self, target: Path) -> None:
        """Write the file or folder `target`, and compare it.

        MindSSDError where it gives other detections than the engine, or loses too much.
        """
        manifest = Manifest(
            metadata=self.metadata,
            num_boxes=len(self.default_boxes),
            score_threshold=FOR_PEOPLE.score_threshold,
            recipe=recipe_of(self.config),
            precision=self.settings.precision,
            nms=self.settings.nms,
            batch=self.settings.batch,
        )
        if self.settings.format == "mindir":
            self._mindir(manifest, target)
        elif self.settings.format == "web":
            self._web(manifest, target)
        else:
            self._onnx(manifest, target)

    def _onnx(self, manifest: Manifest, target: Path) -> None:
        """Write an ONNX file, or another runtime's, and compare it."""
        own = threshold_line(self.metadata)
        if own is not None:
            self._say(f"the file carries the model's own thresholds: {own}")
        nms = self.settings.nms
        if nms is not None and nms.iou_threshold != FOR_PEOPLE.iou_threshold:
            self._say(
                f"NMS inside at IoU {nms.iou_threshold:g}: at the {FOR_PEOPLE.iou_threshold:g} "
                "that `mindssd predict` shows people, a few detections of low score will be "
                f"missing; --nms-iou {FOR_PEOPLE.iou_threshold:g} has them all"
            )
        raw = self._raw()
        self._write(raw, replace(manifest, precision="float32"), target)
        self.engine.require_same_detections(self._deployed(target), target.name)
        if self.settings.int8:
            self._int8(raw, manifest, target)
        elif self.settings.float16:
            self._float16(raw, manifest, target)
        elif self.engine.dataset is not None:
            self.engine.require_same_precision(self._deployed(target), target.name)

    def _raw(self) -> "onnx.ModelProto":
        _require_onnx()
        from mindssd.deploy.graph import read_raw

        content = raw_onnx(self.config, self.parameters, len(self.metadata.class_names))
        return read_raw(content, self.metadata.image_size)

    def _write(
        self,
        raw: "onnx.ModelProto",
        manifest: Manifest,
        target: Path,
        ranges: "Int8 | None" = None,
    ) -> None:
        """Write a file; `ranges` are for TensorFlow Lite's int8."""
        from mindssd.deploy.graph import describe, finish

        is_simple = self.settings.format in SIMPLE_READERS
        in_graph = self.settings.format != "tflite"  # which has an operator of its own
        model = finish(
            raw,
            self.default_boxes.boxes_cxcywh,
            self.config.matching.variances,
            len(self.metadata.class_names),
            manifest.nms if in_graph else None,
            1 if is_simple else manifest.batch,
            spell_out=not is_simple,
        )
        if self.settings.format == "tflite":
            from mindssd.deploy.targets.tflite import write_tflite

            write_tflite(model, manifest, target, ranges)
            return
        if self.settings.format == "ncnn":
            from mindssd.deploy.targets.ncnn import write_ncnn

            write_ncnn(model, manifest, target)
            return
        describe(model, manifest, target)
        content = model.SerializeToString()
        if self.settings.format == "openvino":
            write_openvino(content, manifest, target)
        else:
            target.write_bytes(content)

    def _deployed(self, target: Path) -> Predictor:
        # The CPU, where the engine's float32 is float32.
        session = open_session(target, RuntimeSettings(device="CPU"))
        return deployed_predictor(session, self.compared, batch_size=1)

    def _int8(self, raw: "onnx.ModelProto", manifest: Manifest, target: Path) -> None:
        """Quantise, with as many layers in float32 as the loss that is allowed needs."""
        from mindssd.deploy.int8 import quantize_within
        from mindssd.deploy.quantize import CALIBRATION_IMAGES, Quantizer

        before = self.engine.evaluation(self._deployed(target))
        images = list(self._training_images(CALIBRATION_IMAGES))
        quantizer = Quantizer.calibrated(raw, images)
        self._say(f"int8: ranges measured on {len(images)} training images")

        def attempt(float_layers: Sequence[str]) -> Evaluation:
            if self.settings.format == "tflite":
                from mindssd.deploy.targets.tflite_values import Int8

                layers = frozenset(quantizer.layers()) - set(float_layers)
                self._write(quantizer.model, manifest, target, Int8(layers, quantizer.limits()))
            else:
                self._write(quantizer.quantized(float_layers), manifest, target)
            return self.engine.evaluation(self._deployed(target))

        max_loss = self.settings.max_loss
        after = quantize_within(max_loss, quantizer, images, before, attempt, self.console)
        self._require_little_lost(before, after)

    def _float16(self, raw: "onnx.ModelProto", manifest: Manifest, target: Path) -> None:
        """Write the file again, its weights in float16, and tell what that changes."""
        has_data = self.engine.dataset is not None
        before = self.engine.evaluation(self._deployed(target)) if has_data else None
        self._write(raw, manifest, target)
        self.engine.require_near_detections(self._deployed(target), target.name)
        if before is not None:
            after = self.engine.evaluation(self._deployed(target))
            ours, theirs = average_precision(before), average_precision(after)
            self._say(f"float16: mAP {theirs:.4f}, {theirs - ours:+.4f}")
            self._require_little_lost(before, after)

    def _require_little_lost(self, before: Evaluation, after: Evaluation) -> None:
        """Tell each class's AP; MindSSDError where more is lost than is allowed."""
        precision, max_loss = self.settings.precision, self.settings.max_loss
        for ours, theirs in zip(before.per_class, after.per_class, strict=True):
            self._say(f"  {ours.name}: AP {_number(ours.ap)} in float32, {_number(theirs.ap)}")
        loss = average_precision(before) - average_precision(after)
        if loss > max_loss and not self.settings.force:
            raise MindSSDError(
                f"{precision} loses {loss:.4f} mAP, more than {max_loss:g}; nothing was "
                "written: --max-loss allows more, --force any"
            )

    def _training_images(self, count: int) -> Iterator[Array]:
        """Some training images, prepared as for prediction."""
        dataset: DetectionDataset = build_dataset(self.config, "train", model=self.path)
        for image in readable_images(dataset, count, self._say):
            yield self.engine.predictor.prepare(image)

    def _web(self, manifest: Manifest, folder: Path) -> None:
        """Write an ONNX file, compare it as any, and make a page around it."""
        runtime = runtime_files(self.settings.runtime_archive)
        folder.mkdir()
        model = folder / MODEL
        self._onnx(manifest, model)
        write_page(folder, manifest, _name_of(self.path), runtime)
        self._say(sizes(folder))
        session = open_session(model, RuntimeSettings(device="CPU"))
        predictor = deployed_predictor(session, manifest.shown(), batch_size=1)
        verify_page(folder, manifest, predictor, self.engine.samples(), self._say)

    def _mindir(self, manifest: Manifest, target: Path) -> None:
        num_classes = len(self.metadata.class_names)
        boxes = self.default_boxes.boxes_cxcywh
        forward = export_mindir(self.config, self.parameters, num_classes, boxes, target)
        write_description(manifest, target)
        postprocess = manifest.postprocess(self.compared)
        deployed = replace(self.engine.predictor, forward=forward, postprocess=postprocess)
        self.engine.require_same_detections(deployed, target.name)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _name_of(model: Path) -> str:
    """What to call a model: by its file, or by its run where all files are called alike."""
    path = model.expanduser().resolve()
    return path.parent.name if path.stem == "best" else path.stem


def _selection_of(nms: InGraphNMS) -> Selection:
    return Selection(
        score_threshold=nms.score_threshold,
        iou_threshold=nms.iou_threshold,
        max_detections=nms.max_detections,
    )


def _protocol_of(nms: InGraphNMS) -> Protocol:
    """COCO's protocol, limited to the detections that the file's NMS leaves."""
    limit = min(MAX_DETECTIONS, nms.max_detections)
    return replace(COCO, selection=replace(_selection_of(nms), max_detections=limit))


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise EngineError(f"exporting needs {error.name}; pip install 'mindssd[export]'") from error


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
