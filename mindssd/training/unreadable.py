"""The training images that could not be read: each is reported once, in every process's name."""

import json
from collections.abc import Callable, Sequence

from mindssd.engines.base import Group
from mindssd.training.run_folder import Log


class Unreadable:
    """Notes images that are left out of training, in the log and by `say`."""

    def __init__(self, group: Group, say: Callable[[str], object]) -> None:
        self._group = group
        self._say = say
        self._ids: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def image_ids(self) -> tuple[int, ...]:
        """In rising order."""
        return tuple(sorted(self._ids))

    def note(self, image_ids: Sequence[int], step: int, log: Log) -> None:
        """Report those that are new."""
        for image_id in image_ids:
            if image_id not in self._ids:
                self._ids.add(image_id)
                log.event("unreadable", step, image_id=image_id)
                self._say(
                    f"image id {image_id} cannot be read: left out of training ({len(self)} so far)"
                )

    def share(self, step: int, log: Log) -> None:
        """Let the process that reports know of all that the others could not read."""
        if self._group.size == 1:
            return
        for found in self._group.gather(json.dumps(sorted(self._ids)).encode()):
            self.note(json.loads(found), step, log)
