"""The errors that sweep raises on purpose.

::

    SweepError                     the message is for a person; no traceback is shown
    ├── InputError                 what the user gave is wrong: exit code 2
    │   ├── SpecError              a search file, with every problem found in it
    │   ├── ClusterFileError       a cluster file, with every problem found in it
    │   ├── EntrypointError        the training function can't be imported
    │   ├── ResourceError          a share that no node can grant
    │   ├── StudyError             a study that is missing, busy, or was made from another file
    │   └── RegistryError          a model, version or alias that isn't there, or a folder that can't be one
    └── WorkError                  the work failed: exit code 1
        ├── StorageError           the study's folder takes no more files
        ├── TrainingError          a trial's own failure
        │   ├── NonFiniteLossError the loss became NaN or infinite
        │   ├── FusionError        a batch of fused trials failed as a whole
        │   └── MemoryShareError   the GPU or the machine ran out of memory
        ├── CheckpointError        a checkpoint is missing, torn or damaged
        └── VerificationError      a registry version's bytes differ from its manifest

Every message says where, what came, the rule, and the next step.
"""

from __future__ import annotations

from typing import ClassVar, Literal


class SweepError(Exception):
    """Base of all errors that are told to the user without a traceback."""

    exit_code: ClassVar[int] = 1


class InputError(SweepError):
    """What the user gave is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class SpecError(InputError):
    """A search file is wrong.

    Attributes:
        problems: one entry a problem, each "file:line:column: key: what came. What was expected.".
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ClusterFileError(InputError):
    """A cluster file is wrong.

    Attributes:
        problems: one entry a problem, each "file:line:column: key: what came. What was expected.".
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class EntrypointError(InputError):
    """The training function named by `entrypoint` can't be imported."""


class ResourceError(InputError):
    """The file asks for a share that no node of this cluster can grant."""


class StudyError(InputError):
    """A study is missing, in use, or was made from another file."""


class RegistryError(InputError):
    """The registry folder, or what was asked of it, doesn't exist or can't be used."""


class WorkError(SweepError):
    """The input was right and the work failed."""


class StorageError(WorkError):
    """The study's folder can't be written any more: full, read-only, or gone."""


class TrainingError(WorkError):
    """A trial failed: its training function raised, or never reported the metric."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class FusionError(TrainingError):
    """A batch of fused trials failed, so all its trials did."""


class MemoryShareError(TrainingError):
    """A trial needed more memory than its share has.

    Attributes:
        memory: which one ran out, "gpu_memory" or "host_memory".
    """

    def __init__(self, message: str, memory: Literal["gpu_memory", "host_memory"]) -> None:
        self.memory = memory
        super().__init__(message)

    def __reduce__(self) -> tuple[type[MemoryShareError], tuple[str, str]]:
        """Exceptions travel between processes by their arguments."""
        return type(self), (str(self), self.memory)


class CheckpointError(WorkError):
    """A checkpoint is missing, incomplete or damaged."""


class VerificationError(WorkError):
    """A registry version's bytes differ from its manifest."""


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, without what follows; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
