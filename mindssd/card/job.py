"""Write a model's card, and take both to the hub."""

from pathlib import Path

from mindssd.card.facts import Facts, read_facts
from mindssd.card.text import model_card
from mindssd.errors import ConfigError
from mindssd.files import require_writable, write_file
from mindssd.weights.beside import beside
from mindssd.weights.hub import README, HubAddress, push


def write_card(
    model: str | Path,
    out: Path,
    licence: str | None = None,
    evaluation: Path | None = None,
    force: bool = False,
    repo: str | None = None,
) -> None:
    """Write the card to `out`, for the hub's `repo` if one is named.

    MindSSDError where there is one already, unless `force`.
    """
    require_writable(out)
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; choose another --out, or --force to replace it")
    write_file(out, model_card(read_facts(model, evaluation), licence, repo).encode())


def push_model(model: str | Path, card: Path, repo: str, private: bool = False) -> HubAddress:
    """Upload a model and its card's file to the hub's repository ORG/NAME."""
    facts = read_facts(model)
    try:
        text = card.read_bytes()
    except OSError as error:
        raise ConfigError(f"{card}: cannot be read: {error.strerror}") from error
    files: dict[str, Path | bytes] = {**_files(facts), README: text}
    return push(repo, files, f"Upload {facts.name} by mindssd", private)


def _files(facts: Facts) -> dict[str, Path]:
    """The model's files by their names on the hub: model.safetensors, or model.xml and its .bin."""
    suffix = facts.path.suffix if facts.is_deployed else ".safetensors"
    others = {f"model{path.suffix}": path for path in beside(facts.path)}
    return {f"model{suffix}": facts.path, **others}
