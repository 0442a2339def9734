"""Models on the Hugging Face Hub: `hf://ORG/NAME`, fetched and uploaded by huggingface_hub.

Its cache, its token (HF_TOKEN, or `hf auth login`) and its server (HF_ENDPOINT) are that package's
own affair.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mindssd.errors import WeightsError
from mindssd.weights.beside import beside

SUFFIXES = (".safetensors", ".onnx", ".xml", ".tflite", ".param")
"""What a model's file ends in; what lies beside it is none."""

README = "README.md"

_NAME = r"[\w.-]+/[\w.-]+"
_WORD = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"{_WORD}/{_WORD}", re.ASCII)
# As a path, an address has one slash of the two.
_ADDRESS = re.compile(rf"hf:[/\\]{{1,2}}({_NAME})(?:@([^/\s]+))?(?:/(\S.*))?")


@dataclass(frozen=True)
class HubAddress:
    """`hf://ORG/NAME`, `hf://ORG/NAME@REVISION`, and with a file of several, `hf://ORG/NAME/FILE`."""

    repo: str
    revision: str | None = None
    file: str | None = None

    @property
    def name(self) -> str:
        """The repository's, without whose it is."""
        return self.repo.partition("/")[2]

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hf://{self.repo}{revision}" + ("" if self.file is None else f"/{self.file}")


def is_hub_address(text: str | Path) -> bool:
    """Whether it is meant as a place on the hub."""
    return str(text).startswith(("hf:/", "hf:\\"))


def read_address(text: str | Path) -> HubAddress:
    """WeightsError for what is not `hf://ORG/NAME`."""
    found = _ADDRESS.fullmatch(str(text))
    if found is None or ".." in (found[3] or "").split("/"):
        raise WeightsError(f"{text}: expected hf://ORG/NAME, or hf://ORG/NAME/FILE")
    return HubAddress(found[1], found[2], found[3])


def repository(name: str) -> HubAddress:
    """The address of a repository; WeightsError for what is not ORG/NAME as the hub takes it."""
    if _REPOSITORY.fullmatch(name) is None:
        raise WeightsError(f"{name}: expected ORG/NAME, a repository's name on the hub")
    return HubAddress(name)


def pull(text: str | Path) -> Path:
    """The file of a model on the hub, in huggingface_hub's cache.

    Without a file in the address it is the only one there that a model's file can be. WeightsError
    where there is none or several, and where it cannot be had.
    """
    address = read_address(text)
    hub = _huggingface_hub()
    with _said(address):
        names = hub.list_repo_files(address.repo, revision=address.revision)
        file = address.file or _only_model(address, names)

        def fetched(name: str) -> Path:
            return Path(hub.hf_hub_download(address.repo, name, revision=address.revision))

        for other in beside(PurePosixPath(file)):
            fetched(str(other))
        return fetched(file)


def push(
    repo: str, files: Mapping[str, Path | bytes], message: str, private: bool = False
) -> HubAddress:
    """Upload files by their names there, in one commit; the repository is made if it is absent."""
    address = repository(repo)
    hub = _huggingface_hub()
    operations = [
        hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]
    with _said(address):
        hub.create_repo(address.repo, private=private, exist_ok=True)
        hub.create_commit(address.repo, operations, commit_message=message)
    return address


def _only_model(address: HubAddress, names: Sequence[str]) -> str:
    models = [name for name in names if name.endswith(SUFFIXES)]
    if len(models) != 1:
        found = f"several, {', '.join(models[:5])}: name one" if models else "none of ours"
        raise WeightsError(f"{address} holds {found}, as hf://{address.repo}/FILE")
    return models[0]


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise WeightsError("this needs huggingface_hub; pip install 'mindssd[hub]'") from error
    return huggingface_hub


@contextmanager
def _said(address: HubAddress) -> Iterator[None]:
    """Tell in one line what the package raises, of its own or of the libraries below it."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = lines[0] if lines else type(error).__name__
        raise WeightsError(f"{address}: the hub says: {said[:300]}") from error
