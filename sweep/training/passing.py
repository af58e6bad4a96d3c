"""A channel in front of another one, for those that add something of their own on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweep.core.protocols import Channel, Decision, GpuMemory, LeavingChannel, MeasuringChannel, WritingChannel


class PassingChannel:
    """Takes all that a channel may be told, and passes on what the other one takes.

    Args:
        channel: the other one.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        return self._channel.report(metrics, checkpoint)

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """Where the other one can't write beside the training, it is written here and now."""
        if isinstance(self._channel, WritingChannel):
            return self._channel.report_written(metrics, write)
        return self._channel.report(metrics, write())

    def settle(self) -> None:
        """See `sweep.core.protocols.WritingChannel`."""
        if isinstance(self._channel, WritingChannel):
            self._channel.settle()

    @property
    def leaving(self) -> bool:
        """See `sweep.core.protocols.LeavingChannel`."""
        return isinstance(self._channel, LeavingChannel) and self._channel.leaving

    def measured(self, memory: GpuMemory) -> None:
        """See `sweep.core.protocols.MeasuringChannel`."""
        if isinstance(self._channel, MeasuringChannel):
            self._channel.measured(memory)
