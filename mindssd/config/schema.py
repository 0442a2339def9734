"""The configuration: typed, closed, each value with its range. Nothing derivable stands here.

Grid sizes, default-box counts and channels follow from backbone, neck and image size; the class
names come from the annotation file.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Side = Annotated[int, Meta(ge=32, le=4096)]
Auto = Literal["auto"]
"""In place of a value: it is fitted to the training images when a run begins (`build.fit`)."""


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the configuration; an unknown key in it is an error."""


class _Kind(_Group, frozen=True, tag_field="kind"):
    """One of the kinds of a group, whose key `kind` says which; each has keys of its own."""


class BackboneConfig(_Group, frozen=True):
    """A MindCV model with `features_only`; channels and strides are read off it."""

    name: str = "mobilenet_v2_100"
    out_indices: Annotated[tuple[Natural, ...], Meta(min_length=1)] = (13, 18)
    frozen_layers: Natural = 0
    """So many of its first layers (`features_0`, `features_1`, … or `conv1`, `bn1`, `layer1`, …)
    keep their pretrained values and statistics."""
    frozen_norm: bool = False
    """All its BatchNorms keep theirs (arXiv:1512.03385, appendix A)."""


class ExtrasNeckConfig(_Kind, frozen=True, tag="extras"):
    """The paper's extra maps."""

    extra_channels: tuple[Count, ...] = (512, 256, 256, 128)
    extra_expand_ratios: tuple[Positive, ...] = (0.2, 0.25, 0.5, 0.25)
    expand_first: Count = 6
    expand_first_style: Literal["relu6", "mobilenet_v3"] = "relu6"


class FPNNeckConfig(_Kind, frozen=True, tag="fpn"):
    """A feature pyramid."""

    fpn_channels: Count = 256
    fpn_extra_levels: Natural = 2
    separable: bool = False
    """A depthwise 3×3 and a 1×1 for each of its 3×3 convolutions (arXiv:1911.09070)."""
    path_aggregation: bool = False
    """A path from fine to coarse behind the pyramid's own (arXiv:1803.01534), separable."""


class _Head(_Kind, frozen=True):
    class_prior: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Start each class at this probability (arXiv:1708.02002, 3.3); none: 0.5, as the reference."""


class PerLevelHeadConfig(_Head, frozen=True, tag="per_level"):
    """The paper's: one for each level."""


class SharedHeadConfig(_Head, frozen=True, tag="shared"):
    """One tower for all levels."""

    tower_depth: Natural = 4
    separable: bool = False
    """A depthwise 3×3 and a 1×1 for each layer of the tower (arXiv:1801.04381, 6.2)."""


class PaperBoxesConfig(_Kind, frozen=True, tag="paper"):
    """The SSD paper's scales and ratios."""

    min_scale: Fraction = 0.2
    max_scale: Positive = 0.95
    first_level_scale: Fraction = 0.1
    aspect_ratios: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (2.0, 3.0)


class GridBoxesConfig(_Kind, frozen=True, tag="grid"):
    """RetinaNet's octaves."""

    grid_scale: Positive | Auto = 4.0
    scales_per_octave: Count = 2
    grid_aspect_ratios: tuple[Positive, ...] = (1.0, 2.0, 0.5)


class MatchingConfig(_Group, frozen=True):
    """`iou`: the paper's. `atss`: an IoU for each truth (arXiv:1912.02424)."""

    assignment: Literal["iou", "atss"] = "iou"
    iou_threshold: Fraction = 0.5
    nearest_cells: Count = 9
    """`atss`: the cells of each level whose default boxes are a truth's candidates."""
    variances: tuple[Positive, Positive] = (0.1, 0.2)


class LossConfig(_Group, frozen=True):
    class_kind: Literal["focal", "quality_focal"] = "focal"
    """`quality_focal`: a positive's goal is its box's IoU with the truth (arXiv:2006.04388)."""
    focal_alpha: Fraction = 0.75
    focal_gamma: NotNegative = 2.0
    class_weight: NotNegative = 1.0
    box_kind: Literal["smooth_l1", "giou"] = "smooth_l1"
    """`giou`: of the decoded boxes (arXiv:1902.09630)."""
    box_weight: NotNegative = 1.0
    box_weight_by_score: bool = False
    """A positive's box counts as much as its class scores (arXiv:2006.04388)."""


class OptimizerConfig(_Group, frozen=True):
    """`sgd`: with momentum. `adamw`: arXiv:1711.05101."""

    method: Literal["sgd", "adamw"] = "sgd"
    backbone_rate: Positive = 1.0
    """The backbone's learning rate as a share of the rest's."""
    second_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.999
    """AdamW's second beta; `momentum` is its first."""
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 1.5e-4
    decayed: Literal["all", "all_but_norm", "weights"] = "all_but_norm"
    """What decays: everything, all but BatchNorm's scale and shift (MindSpore's own rule, and so
    the reference's), or the convolutions' weights alone."""
    loss_scale: Positive = 1024.0
    clip_norm: Positive | None = None
    accumulate_steps: Count = 1
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Average the weights; evaluation and the saved model use the average."""
    amp_level: Literal["O0", "O1", "O2", "O3"] = "O0"
    """MindSpore's mixed precision levels; O0 is float32, and all that a CPU has."""


class ScheduleConfig(_Group, frozen=True):
    total_steps: Count | None = None
    """So many steps, in whole epochs, instead of `epochs`."""
    learning_rate: Positive = 0.05
    warmup_epochs: NotNegative = 2.0
    warmup_steps: Natural | None = None
    """So many steps instead of `warmup_epochs`."""
    warmup_start: NotNegative = 0.001
    """The learning rate of the very first step."""
    final_factor: Fraction = 0.001
    """The cosine ends at the learning rate times this."""
    flat_share: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """So large a share of the steps after the warm-up stays at the peak."""


class AugmentConfig(_Group, frozen=True):
    """What may happen to a training image; a probability of 0 turns a thing off."""

    crop_probability: Fraction = 5 / 6
    """How often a min-IoU crop is tried; the paper's sixth choice is the whole image."""
    crop_scale: tuple[Positive, Positive] = (0.3, 1.0)
    """A crop's sides, as shares of the image's."""
    flip_probability: Fraction = 0.5
    vertical_flip_probability: Fraction = 0.0
    rotate_probability: Fraction = 0.0
    """Turn by 90, 180 or 270 degrees: for views without an upside, as a microscope's."""
    zoom_out_probability: Fraction = 0.0
    """Place the image on a larger canvas, for small objects."""
    zoom_out_max: Annotated[float, Meta(ge=1)] = 4.0
    scale_jitter_probability: Fraction = 0.0
    """Show the image a little larger or smaller."""
    scale_jitter: tuple[Positive, Positive] = (0.8, 1.25)
    colour_probability: Fraction = 1.0
    brightness: Fraction = 0.4
    contrast: Fraction = 0.4
    saturation: Fraction = 0.4
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Turn hues by up to so large a share of the colour circle, either way."""
    blur_probability: Fraction = 0.0
    blur_sigma: tuple[Positive, Positive] = (0.1, 2.0)
    """Of the Gaussian, in pixels of the network's image (arXiv:2002.05709, appendix A)."""
    mosaic_probability: Fraction = 0.0
    """Show parts of four images beside each other (arXiv:2004.10934), in place of a crop, zoom-out
    and scale jitter."""
    copy_paste_probability: Fraction = 0.0
    """Paste objects of another image, by their boxes (after arXiv:2012.07177)."""
    copy_paste_cover: Fraction = 0.3
    """The greatest share of a truth that is covered by that."""


class NormalizationConfig(_Group, frozen=True):
    """ImageNet's, which MindCV's backbones were trained with; RGB in 0..1."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)


class DetectionConfig(_Group, frozen=True):
    """How detections follow from what the network gives, beyond NMS; the model's file says it."""

    soft_sigma: Positive | None = None
    """Soft-NMS (arXiv:1704.04503) where detections are ranked, as in evaluation: overlap lowers
    scores instead of suppressing. Gaussian; the paper's sigma is 0.5."""
    vote_iou: Fraction | None = None
    """A detection's box is the weighted mean of its class's candidates with more than this IoU to
    it (box voting, arXiv:1505.01749)."""


class EvaluationConfig(_Group, frozen=True):
    every_epochs: Natural | Auto = 1
    """Evaluate after each so many epochs; 0 only after the last."""
    protocol: Literal["coco", "mindcv"] = "coco"
    batch_size: Count = 8
    patience: Count | None = None
    """End the run after so many evaluations without a better score (Goodfellow et al., Deep
    Learning, algorithm 7.1); none: at its last step."""
    smoothing: Count = 1
    """The mean AP of the last so many evaluations is the score; that of the best is kept."""


class Config(_Group, frozen=True):
    """A whole run. On the command line: `key=value`, and in a group `group.key=value`."""

    engine: Literal["auto", "mindspore", "torch"] = "auto"
    """The framework; `auto` is the one that is installed, of both MindSpore."""
    device: Literal["auto", "CPU", "GPU", "Ascend", "MPS"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """PyTorch's: what convolutions compute in. `auto` trains in bfloat16 where the device is faster
    with it, and infers in float32."""
    deterministic: bool = False
    """PyTorch's: bit for bit the same again on a GPU too, at some cost."""
    sync_batch_norm: bool = False
    """PyTorch's, on several devices: BatchNorm's statistics are the whole batch's."""
    seed: Annotated[int, Meta(ge=0, le=999_999)] = 0
    data_dir: str | None = None
    """A folder of images and their annotations, in any format of docs/data.md, or a .zip of it."""
    format: Literal["auto", "coco", "yolo", "voc", "labelme", "cvat", "via", "csv"] = "auto"
    """That of the annotations; `auto` is the one that is there."""
    val_share: Annotated[float, Meta(gt=0, lt=1)] = 0.2
    """So much of a data set without a validation part is kept for it."""
    group_by: str | None = None
    """A regular expression: images in whose names it finds the same stay in one part."""
    backbone_ckpt_path: str | None = None
    """A MindCV backbone checkpoint, or the name of a published one (see `mindssd weights`)."""
    initial_weights: str | None = None
    """A trained detector to start from, a file or the name of a published one; classes that it has
    too keep their rows of the class layers, others start afresh."""
    class_map: dict[str, str] = {}
    """Of the data set's classes, under which other name `initial_weights` has them."""
    runs_dir: str = "runs"
    name: str | None = None
    """The run's folder under runs_dir; by default the recipe, data set and time."""
    trackers: tuple[Literal["mlflow", "wandb", "swanlab"], ...] = ()
    """What shows the run beside others, apart from its own log and TensorBoard."""
    # A fixed-length tuple in a union crashes msgspec 0.22; a bounded one is checked the same.
    image_size: Side | Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)] = 300
    """Pixels, or [height, width]."""
    image_fit: Literal["stretch", "letterbox"] = "stretch"
    """Of a picture of another shape: stretched to `image_size`, as the reference does, or its
    aspect kept and the rest filled with the mean colour."""
    batch_size: Count = 32
    """Images a step."""
    epochs: Count | Auto = 500
    repeat_threshold: Fraction = 0.0
    """Images of classes in a smaller share of the images than this come more often in an epoch, by
    the root (arXiv:1908.03195, B.2); 0: each image once. An epoch's length stays."""
    num_workers: Annotated[int, Meta(ge=0)] | None = None
    """Loader processes; by default one for each core but one, at most 8."""
    max_bad_steps: Count = 5
    """Stop after so many steps in a row with a loss or gradient that is not finite."""
    backbone: BackboneConfig = BackboneConfig()
    neck: ExtrasNeckConfig | FPNNeckConfig = ExtrasNeckConfig()
    head: PerLevelHeadConfig | SharedHeadConfig = PerLevelHeadConfig()
    default_boxes: PaperBoxesConfig | GridBoxesConfig = PaperBoxesConfig()
    matching: MatchingConfig = MatchingConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    normalization: NormalizationConfig = NormalizationConfig()
    detection: DetectionConfig = DetectionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
