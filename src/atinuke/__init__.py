"""Atinuke: your text in, the best language model that your time and your machine allow out.

    import atinuke

    run = atinuke.train("book.txt", time="2m")
    print(run.generate("Once"))
    run = atinuke.load("runs/book")

Importing this does not import torch: names are looked up when they are first used.
"""

import importlib
import types
from typing import TYPE_CHECKING, Any

from atinuke import errors
from atinuke import train as _train_room

if TYPE_CHECKING:
    from atinuke.library import Run, load, train

__all__ = ["Run", "__version__", "errors", "load", "train"]

_FROM_LIBRARY = ("Run", "load")


def __getattr__(name: str) -> Any:
    if name in _FROM_LIBRARY:
        return getattr(importlib.import_module("atinuke.library"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("atinuke")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _CallableRoom(types.ModuleType):
    """The room `atinuke.train`, which can be called as well.

    `train` is a stage, so it is the name of a package and of a function. Importing any part of the package makes
    Python set the attribute `train` of `atinuke` to the package, over a function of that name. So there is only the
    package, and it is called. Every import of it runs this file first, whichever of the two is asked for.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("atinuke.library").train(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        """For `help` and editors: what `__call__` passes on."""
        import inspect

        return inspect.signature(importlib.import_module("atinuke.library").train)


_train_room.__class__ = _CallableRoom
