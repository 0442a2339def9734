"""A job over sources: what is asked to be looked at, videos, what is written of it.

The room and the function of its name are one thing, for Python has one name for both: whoever
imports a module of this room makes `mindssd.predict` the room.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindssd.predict.call import Predicted


class _Room(ModuleType):
    """This room, which can be called."""

    def __call__(self, *arguments: Any, **keywords: Any) -> "Predicted":
        """As `mindssd.predict.call.predict`, which is imported only now."""
        from mindssd.predict.call import predict

        return predict(*arguments, **keywords)


sys.modules[__name__].__class__ = _Room
