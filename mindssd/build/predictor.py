"""A predictor on a network, from its configuration, and the description of the model's file."""

from collections.abc import Mapping

from mindssd.build.engine import choose_engine
from mindssd.build.network import build_default_boxes, image_size, keeps_aspect
from mindssd.config.schema import Config
from mindssd.engines.base import Network
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.refinement import Refinement
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.weights.safetensors_file import ModelMetadata


def normalization(config: Config) -> Normalization:
    return Normalization(config.normalization.mean, config.normalization.std)


def build_predictor(
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
    selection: Selection,
    batch_size: int,
) -> Predictor:
    """A predictor on the network as it stands."""
    return Predictor(
        forward=network.forward,
        image_size=image_size(config),
        normalization=normalization(config),
        postprocess=PostProcess(
            default_boxes=build_default_boxes(config, network.grids),
            variances=config.matching.variances,
            selection=selection,
            refinement=Refinement(
                soft_sigma=config.detection.soft_sigma, vote_iou=config.detection.vote_iou
            ),
        ),
        class_names=class_names,
        batch_size=batch_size,
        keeps_aspect=keeps_aspect(config),
    )


def model_metadata(
    config_tree: dict[str, object],
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
    category_ids: tuple[int, ...],
    metrics: Mapping[str, float | None],
) -> ModelMetadata:
    """The description that a model's file carries."""
    # Where this machine keeps its files is nobody else's business.
    own = (
        *("data_dir", "format", "val_share", "group_by"),
        *("backbone_ckpt_path", "initial_weights", "class_map", "name", "runs_dir"),
    )
    defaults = Config()
    return ModelMetadata(
        config={**config_tree, **{key: getattr(defaults, key) for key in own}},
        class_names=class_names,
        category_ids=category_ids,
        image_size=image_size(config),
        mean=config.normalization.mean,
        std=config.normalization.std,
        grids=network.grids,
        metrics={name: value for name, value in metrics.items() if value is not None},
        engine=choose_engine(config.engine),
    )
