"""Exact maps between mindssd's parameter names and those of checkpoints written elsewhere.

Three kinds of names:

- `canonical`: `backbone.…`, `neck.…`, `head.…`, what every engine here gives and takes;
- `mindcv_backbone`: MindCV's classification checkpoints. Its feature extractor joins the children
  of a top-level `features` (MobileNet, EfficientNet) or `feature` (ConvNeXt) sequence to the
  parent's name: `features.3.layers.0.weight` becomes `features_3.layers.0.weight`. ResNet, HRNet,
  RepVGG and ResNeSt keep their names (MindCV 0.3.0, `models/features.py`);
- `reference_ssd`: MindCV's SSD example, examples/det/ssd.

Each line of the tables is read in both directions, so that a map and its inverse cannot disagree.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mindssd.errors import WeightsError

Kind = Literal["canonical", "mindcv_backbone", "reference_ssd"]

_PLACEHOLDERS = {
    "k": r"\d+",
    "d": r"\d+",
    "norm": r"gamma|beta|moving_mean|moving_variance",
    "affine": r"weight|bias",
    "rest": r".+",
    "half": r"depthwise|pointwise",
    "separable": r"output|bottom_up",
    "step": r"down|output",
    "output": r"boxes|classes",
}

_REFERENCE_TABLE = """
backbone_wrapper.backbone.net.{rest}                          backbone.{rest}
backbone_wrapper.multi_residual.{k}.conv.0.features.0.weight  neck.extras.{k}.expand.conv.weight
backbone_wrapper.multi_residual.{k}.conv.0.features.1.{norm}  neck.extras.{k}.expand.norm.{norm}
backbone_wrapper.multi_residual.{k}.conv.1.features.0.weight  neck.extras.{k}.depthwise.conv.weight
backbone_wrapper.multi_residual.{k}.conv.1.features.1.{norm}  neck.extras.{k}.depthwise.norm.{norm}
backbone_wrapper.multi_residual.{k}.conv.2.weight             neck.extras.{k}.project.conv.weight
backbone_wrapper.multi_residual.{k}.conv.3.{norm}             neck.extras.{k}.project.norm.{norm}
backbone_wrapper.fpn.lateral_convs_list.{k}.{affine}          neck.lateral.{k}.{affine}
backbone_wrapper.fpn.fpn_convs_list.{k}.features.0.weight     neck.output.{k}.conv.weight
backbone_wrapper.fpn.fpn_convs_list.{k}.features.1.{norm}     neck.output.{k}.norm.{norm}
backbone_wrapper.bottom_up.blocks.{k}.features.0.weight       neck.bottom_up.{k}.conv.weight
backbone_wrapper.bottom_up.blocks.{k}.features.1.{norm}       neck.bottom_up.{k}.norm.{norm}
multi_box.multi_loc_layers.{k}.0.weight                       head.boxes.{k}.depthwise.conv.weight
multi_box.multi_loc_layers.{k}.1.{norm}                       head.boxes.{k}.depthwise.norm.{norm}
multi_box.multi_loc_layers.{k}.3.{affine}                     head.boxes.{k}.predict.{affine}
multi_box.multi_cls_layers.{k}.0.weight                       head.classes.{k}.depthwise.conv.weight
multi_box.multi_cls_layers.{k}.1.{norm}                       head.classes.{k}.depthwise.norm.{norm}
multi_box.multi_cls_layers.{k}.3.{affine}                     head.classes.{k}.predict.{affine}
multi_box.addition_layer_loc.0.{d}.features.0.{affine}        head.boxes.tower.{d}.conv.{affine}
multi_box.addition_layer_loc.{k}.{d}.features.1.{norm}        head.boxes.tower.{d}.norm.{k}.{norm}
multi_box.loc_layers.0.{affine}                               head.boxes.predict.{affine}
multi_box.addition_layer_cls.0.{d}.features.0.{affine}        head.classes.tower.{d}.conv.{affine}
multi_box.addition_layer_cls.{k}.{d}.features.1.{norm}        head.classes.tower.{d}.norm.{k}.{norm}
multi_box.cls_layers.0.{affine}                               head.classes.predict.{affine}
"""

_OWN_NAMES = """
neck.{separable}.{k}.{half}.conv.weight
neck.{separable}.{k}.{half}.norm.{norm}
neck.path.{k}.{step}.{half}.conv.weight
neck.path.{k}.{step}.{half}.norm.{norm}
head.{output}.tower.{d}.{half}.conv.weight
head.{output}.tower.{d}.{half}.norm.{k}.{norm}
"""
"""Canonical names of what the reference has not: separable convolutions, a path up the pyramid."""

_EXPAND_TABLES = {
    "relu6": """
backbone_wrapper.feature1_expand_layer.features.0.weight      neck.expand.conv.weight
backbone_wrapper.feature1_expand_layer.features.1.{norm}      neck.expand.norm.{norm}
""",
    # MobileNetV3's is a plain sequence in the reference, MobileNetV2's a cell that holds one.
    "mobilenet_v3": """
backbone_wrapper.feature1_expand_layer.0.weight               neck.expand.conv.weight
backbone_wrapper.feature1_expand_layer.1.{norm}               neck.expand.norm.{norm}
""",
}


@dataclass(frozen=True)
class _Rule:
    """One line of a table, read in both directions; each gives None for a name it does not know."""

    to_canonical: Callable[[str], str | None]
    to_reference: Callable[[str], str | None]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(
            f"(?P<{part}>{_PLACEHOLDERS[part]})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


def _translator(source: str, target: str) -> Callable[[str], str | None]:
    pattern = _pattern(source)

    def translate(name: str) -> str | None:
        found = pattern.fullmatch(name)
        return target.format(**found.groupdict()) if found else None

    return translate


def _compile(table: str) -> tuple[_Rule, ...]:
    rules = []
    for line in table.strip().splitlines():
        reference, canonical = line.split()
        rules.append(_Rule(_translator(reference, canonical), _translator(canonical, reference)))
    return tuple(rules)


_REFERENCE_RULES = _compile(_REFERENCE_TABLE)
_EXPAND_RULES = {style: _compile(table) for style, table in _EXPAND_TABLES.items()}
_OWN_PATTERNS = tuple(map(_pattern, _OWN_NAMES.split()))
_ALL_RULES = (*_REFERENCE_RULES, *(rule for rules in _EXPAND_RULES.values() for rule in rules))


def reference_to_canonical(name: str) -> str:
    """`multi_box.loc_layers.0.bias` to `head.boxes.predict.bias`; WeightsError for another name."""
    for rule in _ALL_RULES:
        if (canonical := rule.to_canonical(name)) is not None:
            return canonical
    raise WeightsError(f"{name!r} is not a parameter of MindCV's SSD example")


def canonical_to_reference(name: str, expand_first_style: str = "relu6") -> str:
    """Inverse of `reference_to_canonical`.

    `expand_first_style` is the neck's, `relu6` or `mobilenet_v3`: the reference names the first
    map's expansion differently in its two MobileNet recipes.
    """
    if expand_first_style not in _EXPAND_RULES:
        raise WeightsError(
            f"expand_first_style is {expand_first_style!r}; expected one of "
            f"{', '.join(_EXPAND_RULES)}"
        )
    for rule in (*_REFERENCE_RULES, *_EXPAND_RULES[expand_first_style]):
        if (reference := rule.to_reference(name)) is not None:
            return reference
    if is_canonical(name):
        raise WeightsError(
            f"{name!r} belongs to one of the parts that MindCV's SSD example has not; keep the "
            "weights as .safetensors"
        )
    raise WeightsError(f"{name!r} is not a canonical parameter name that the reference has")


def mindcv_to_canonical(name: str) -> str:
    """`features.3.weight` to `backbone.features_3.weight`, `bn1.beta` to `backbone.bn1.beta`."""
    return "backbone." + re.sub(r"^(features?)\.(\d+)\.", r"\1_\2.", name)


def is_canonical(name: str) -> bool:
    """Whether `name` follows mindssd's naming."""
    rules = (*_REFERENCE_RULES, *_EXPAND_RULES["relu6"])
    return any(rule.to_reference(name) is not None for rule in rules) or any(
        pattern.fullmatch(name) for pattern in _OWN_PATTERNS
    )


def is_reference(name: str) -> bool:
    """Whether `name` follows the naming of MindCV's SSD example."""
    return any(rule.to_canonical(name) is not None for rule in _ALL_RULES)


_DETECTOR_PREFIXES = ("backbone.", "neck.", "head.", "backbone_wrapper.", "multi_box.")


def detect_kind(names: Iterable[str]) -> Kind:
    """The kind that all of `names` belong to; WeightsError with examples where there is none.

    A backbone is what carries none of a detector's prefixes: its own names depend on its family,
    and are judged against the network's when they are loaded.
    """
    names = list(names)
    if not names:
        raise WeightsError("the checkpoint holds no parameters")
    outside = [name for name in names if not name.startswith(_DETECTOR_PREFIXES)]
    if len(outside) == len(names):
        return "mindcv_backbone"
    if all(is_canonical(name) for name in names):
        return "canonical"
    if all(is_reference(name) for name in names):
        return "reference_ssd"
    canonical = [name for name in names if is_canonical(name)]
    reference = [name for name in names if is_reference(name)]
    strange = [name for name in names if name not in {*canonical, *reference}]
    examples = ", ".join(repr(group[0]) for group in (canonical, reference, strange) if group)
    raise WeightsError(
        f"its {len(names)} parameter names are not of one kind: {len(canonical)} are mindssd's, "
        f"{len(reference)} those of MindCV's SSD example, {len(strange)} neither "
        f"(for example {examples})"
    )


def to_canonical(names: Iterable[str], kind: Kind) -> dict[str, str]:
    """Each of `names`, all of one `kind`, to its canonical name; WeightsError where two meet."""
    translators: dict[Kind, Callable[[str], str]] = {
        "canonical": str,
        "mindcv_backbone": mindcv_to_canonical,
        "reference_ssd": reference_to_canonical,
    }
    translate = translators[kind]
    mapped = {name: translate(name) for name in names}
    origin: dict[str, str] = {}
    for name, canonical in mapped.items():
        if canonical in origin:
            raise WeightsError(f"{origin[canonical]!r} and {name!r} both mean {canonical!r}")
        origin[canonical] = name
    return mapped


_STATE_PREFIXES = (
    "moments",  # Momentum
    "accum",  # SGD
    "stat",  # SGD
    "moment1",  # Adam, AdamWeightDecay
    "moment2",
    "adam_m",
    "adam_v",
    "vhat",
    "mean_square",  # RMSProp
    "mean_gradients",
    "ema",
    "accu_grads",
    "grad_accum",
    "accumulation",
)
_STATE_NAMES = frozenset(
    {
        "accumulate_step",
        "beta1_power",
        "beta2_power",
        "cur_iter",
        "cur_step",
        "current_iterator_step",
        "epoch",
        "epoch_num",
        "global_step",
        "last_overflow_iterator_step",
        "learning_rate",
        "loss_scale",
        "loss_scaling_manager",
        "momentum",
        "opt_step",
        "scale_sense",
        "step",
        "step_num",
        "updates",
        "weight_decay",
    }
)


def without_training_state(names: Iterable[str]) -> list[str]:
    """A checkpoint's names without those of what training left beside the network's parameters.

    Training state is a name that MindSpore gives to a scalar of an optimizer, loss scale or
    callback, or PREFIX.NAME where PREFIX is one of an optimizer's (`moments`, `accum`, …) and NAME
    is another parameter of the same checkpoint. Anything else is a parameter, and has to be
    accounted for.
    """
    names = list(names)
    everything = set(names)

    def is_state(name: str) -> bool:
        prefix, _, rest = name.partition(".")
        return name in _STATE_NAMES or (prefix in _STATE_PREFIXES and rest in everything)

    return [name for name in names if not is_state(name)]
