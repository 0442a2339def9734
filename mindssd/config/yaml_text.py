"""The YAML that configurations are written in: YAML 1.1 as PyYAML has it, without its surprises."""

import re
from typing import Any

import yaml


def read(text: str) -> Any:
    """The plain value of a text.

    Raises:
        ValueError: it is not YAML, or a key stands twice; in one line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def write(value: Any) -> str:
    """A plain value as a text from which `read` gives it again; keys keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; everybody who types it means a number.

    Of a key that stands twice PyYAML takes the last, silently; here it is an error.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{name} stands there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts the text 1e-3 in quotes, so that `read` gives text again."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )
