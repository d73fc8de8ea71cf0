"""Every expected failure is a `MerzooError` whose text is one line that ends with the remedy; the command line prints it and exits with 2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class MerzooError(Exception):
    """Base of all errors that merzoo raises on purpose. They can be sent from a worker process, whatever their `__init__` asks for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[MerzooError], args: tuple[Any, ...], facts: dict[str, Any]) -> MerzooError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class MerzooWarning(UserWarning):
    """Something was worked around: the result stands, and the text says what it rests on."""


class PluginWarning(MerzooWarning):
    """A plugin is not loaded or has a problem; `merzoo plugins` says so too."""


class UsageError(MerzooError):
    """Arguments that do not fit together."""


class UnknownNameError(MerzooError):
    """A name nobody registered; holds the near ones.

    Attributes: kind ("model", "weights tag", …), name, near (registered names that look alike).
    """

    def __init__(self, kind: str, name: str, near: Sequence[str] = (), hint: str = "") -> None:
        self.kind, self.name, self.near = kind, name, tuple(near)
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"unknown {kind} '{name}'{guess}{' ' + hint if hint else ''}")


class CollisionError(MerzooError):
    """Two plugins claim one name; holds both. credits: the same plugins as the message names them."""

    def __init__(self, kind: str, name: str, plugins: Iterable[str], credits: Iterable[str] = ()) -> None:
        self.kind, self.name, self.plugins = kind, name, tuple(plugins)
        super().__init__(f"{kind} '{name}' is claimed by {' and '.join(tuple(credits) or self.plugins)}; {block_one(self.plugins)}")


def block_one(plugins: Iterable[str]) -> str:
    """How to settle what several plugins claim: which of them is to go is for the reader to say."""
    first, *others = dict.fromkeys(plugins)
    return f"block one of them, as in MERZOO_PLUGINS=-{first}" + (f" (or -{' or -'.join(others)})" if others else "")


class PluginError(MerzooError):
    """A plugin that cannot be loaded, or a target it names that cannot be imported."""


class NeedsError(MerzooError):
    """A combination of parts in which somebody's need is not met; holds the part and its missing needs."""

    def __init__(self, part: str, missing: Sequence[str], offered: Sequence[str] = (), remedy: str = "") -> None:
        self.part, self.missing = part, tuple(missing)
        has = f" (offered: {', '.join(offered)})" if offered else ""
        super().__init__(f"{part} needs {', '.join(missing)}, which nothing here provides{has}" + (f"; {remedy}" if remedy else ""))


class WeightsError(MerzooError):
    """Weights that are missing, damaged, not what their hash says, or not of this network."""


class MediaError(MerzooError):
    """A video, folder or array that cannot be read as frames."""


class NoFaceError(MediaError):
    """No face in any frame."""


class DataError(MerzooError):
    """A data set, table or clip store that is not as it should be."""


class LeakageError(MerzooError):
    """A test subject met in training; holds the subjects."""

    def __init__(self, where: str, subjects: Iterable[str]) -> None:
        self.where, self.subjects = where, tuple(sorted(subjects))
        shown = ", ".join(self.subjects[:5]) + ("…" if len(self.subjects) > 5 else "")
        super().__init__(f"{where}: test subject {shown} is in the training data; refused")


class TrainingError(MerzooError):
    """Training that cannot go on, with the stage and the step."""


class RunError(MerzooError):
    """A run folder that cannot be written, read or continued."""


class ResultError(MerzooError):
    """A result file that cannot be read, or a run that cannot be packed into one."""
