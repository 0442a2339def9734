"""A network from its configuration: its structure and its default boxes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mindssd.config.load import load_config, recipe_names
from mindssd.config.schema import (
    Config,
    ExtrasNeckConfig,
    FPNNeckConfig,
    GridBoxesConfig,
    SharedHeadConfig,
)
from mindssd.engines.base import (
    Engine,
    ExtrasNeck,
    FPNNeck,
    Network,
    NetworkSpec,
    PerLevelHead,
    SharedHead,
)
from mindssd.errors import ConfigError
from mindssd.geometry.default_boxes import DefaultBoxes, GridDefaultBoxes, PaperDefaultBoxes
from mindssd.types import Array, ImageSize


def keeps_aspect(config: Config) -> bool:
    """Whether a picture is fitted into the network's image, not stretched to it."""
    return config.image_fit == "letterbox"


def image_size(config: Config) -> ImageSize:
    if isinstance(config.image_size, int):
        return config.image_size, config.image_size
    height, width = config.image_size
    return height, width


UNFITTED_SCALE = 4.0
"""`default_boxes.grid_scale` where it is `auto` and nothing has decided it: RetinaNet's."""


def default_box_scheme(config: Config) -> PaperDefaultBoxes | GridDefaultBoxes:
    boxes = config.default_boxes
    try:
        if isinstance(boxes, GridBoxesConfig):
            scale = UNFITTED_SCALE if boxes.grid_scale == "auto" else boxes.grid_scale
            return GridDefaultBoxes(scale, boxes.scales_per_octave, boxes.grid_aspect_ratios)
        return PaperDefaultBoxes(
            boxes.min_scale, boxes.max_scale, boxes.aspect_ratios, boxes.first_level_scale
        )
    except ValueError as error:
        raise ConfigError(f"default_boxes: {error}") from error


def network_spec(config: Config, num_classes: int) -> NetworkSpec:
    """All that the engine needs to build the network for `num_classes` classes."""
    neck = _neck(config.neck)
    num_extra = len(neck.channels) if isinstance(neck, ExtrasNeck) else neck.extra_levels
    head: PerLevelHead | SharedHead = PerLevelHead()
    if isinstance(config.head, SharedHeadConfig):
        head = SharedHead(config.head.tower_depth, config.head.separable)
    num_levels = len(config.backbone.out_indices) + num_extra
    boxes_per_location = default_box_scheme(config).boxes_per_location(num_levels)
    if isinstance(head, SharedHead) and (
        len(set(boxes_per_location)) > 1 or isinstance(neck, ExtrasNeck)
    ):
        raise ConfigError(
            "head.kind=shared needs levels that are alike: "
            "neck.kind=fpn and default_boxes.kind=grid"
        )
    return NetworkSpec(
        backbone=config.backbone.name,
        out_indices=config.backbone.out_indices,
        image_size=image_size(config),
        neck=neck,
        head=head,
        boxes_per_location=boxes_per_location,
        num_classes=num_classes,
    )


def _neck(neck: ExtrasNeckConfig | FPNNeckConfig) -> ExtrasNeck | FPNNeck:
    if isinstance(neck, FPNNeckConfig):
        return FPNNeck(
            neck.fpn_channels, neck.fpn_extra_levels, neck.separable, neck.path_aggregation
        )
    if len(neck.extra_channels) != len(neck.extra_expand_ratios):
        raise ConfigError(
            f"neck.extra_channels has {len(neck.extra_channels)} values and "
            f"neck.extra_expand_ratios {len(neck.extra_expand_ratios)}; expected as many"
        )
    return ExtrasNeck(
        neck.extra_channels,
        neck.extra_expand_ratios,
        neck.expand_first,
        neck.expand_first_style,
    )


def build_network(config: Config, engine: Engine, num_classes: int) -> Network:
    """A network at its initial values, with `head.class_prior` if the config has one."""
    network = engine.build_network(network_spec(config, num_classes), config.seed)
    if config.head.class_prior is not None:
        network.load_parameters(
            class_prior_biases(network.parameters(), num_classes, config.head.class_prior)
        )
    return network


def class_prior_biases(
    parameters: Mapping[str, Array], num_classes: int, prior: float
) -> dict[str, Array]:
    """The class layers' biases with which each class starts at `prior`, background at the rest."""
    column = np.full(num_classes + 1, np.log(prior / (1 - prior)), np.float32)
    column[0] = -column[0]
    return {
        name: np.tile(column, len(bias) // len(column))
        for name, bias in parameters.items()
        if name.startswith("head.classes.") and name.endswith("predict.bias")
    }


def build_default_boxes(config: Config, grids: tuple[tuple[int, int], ...]) -> DefaultBoxes:
    return default_box_scheme(config).generate(image_size(config), grids)


def recipe_of(config: Config) -> str | None:
    """The recipe whose network this is, whatever else was changed; None of no recipe's.

    A recipe's network is also one whose default boxes were fitted to a data set. A recipe that
    starts from another one's detector has the network of that one.
    """

    def network(of: Config, scale: float | None) -> tuple[object, ...]:
        scheme = default_box_scheme(of)
        if scale is not None and isinstance(scheme, GridDefaultBoxes):
            scheme = replace(scheme, scale=scale)
        return network_spec(of, num_classes=1), scheme

    for name in recipe_names():
        recipe = load_config(name)
        if recipe.initial_weights is not None:
            continue
        boxes = recipe.default_boxes
        fitted = isinstance(boxes, GridBoxesConfig) and boxes.grid_scale == "auto"
        scale = UNFITTED_SCALE if fitted else None
        if network(recipe, scale) == network(config, scale):
            return name
    return None
