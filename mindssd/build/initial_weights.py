"""What a training starts from: a pretrained backbone, or a whole detector."""

from mindssd.build.published import find_model
from mindssd.config.schema import Config
from mindssd.engines.base import Network
from mindssd.errors import WeightsError
from mindssd.weights.download import resolve_backbone
from mindssd.weights.progress import show_progress
from mindssd.weights.published import names_of
from mindssd.weights.transfer import FitReport, load_backbone, start_from_detector


def load_initial_weights(
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
) -> list[str]:
    """Load what the config starts from; return a line to print for each file.

    A detector has a backbone of its own, so that of `backbone_ckpt_path` is not asked for then.
    """
    shapes = {name: value.shape for name, value in network.parameters().items()}
    said: list[str] = []
    report: FitReport
    if config.backbone_ckpt_path is not None and config.initial_weights is None:
        try:
            with show_progress("backbone") as progress:
                path = resolve_backbone(config.backbone_ckpt_path, progress)
            parameters, report = load_backbone(path, shapes)
        except WeightsError as error:
            raise WeightsError(
                f"{error}; backbone_ckpt_path=PATH names another file, null does without one"
            ) from error
        network.load_parameters(parameters)
        said.append(f"backbone from {path}: {report.summary()}")
    if config.initial_weights is not None:
        path = find_model(config.initial_weights, said.append)
        try:
            parameters, report = start_from_detector(
                path, network.parameters(), class_names, config.class_map
            )
        except WeightsError as error:
            raise WeightsError(f"{error}{_way_out(config.initial_weights)}") from error
        network.load_parameters(parameters)
        said.append(f"detector from {config.initial_weights}: {report.summary()}")
    return said


def _way_out(name: str) -> str:
    """What a published detector that does not fit is good for; nothing of another file."""
    if name not in names_of("detector"):
        return ""
    recipe = name.replace("ssd_", "finetune_")
    return f"; --config {recipe} has its network, and backbone_ckpt_path={name} takes its backbone"
