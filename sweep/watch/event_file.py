"""One file of TensorBoard records.

It is written with the `tensorboard` package itself: tensorboardX and torch.utils.tensorboard both import torch, which
the driver must not. Records are written where the caller stands, not by a thread: a full disk is the caller's to see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sweep.core.space import constants
from sweep.core.spec import Choice, Constant, Parameter, StudySpec
from sweep.core.trial import Trial, TrialState
from sweep.watch.text import shown


class EventFile:
    """Appends records to a new file in a folder.

    TensorBoard reads the files of a folder in the order of their names and looks for what is new in the last one only,
    so a name starts with the time and ends with what it is.

    Args:
        folder: made when it isn't there.
        time: seconds since 1970.
        suffix: the name's end.

    Raises:
        OSError: from any method; the disk is full, or the folder can't be written.
    """

    def __init__(self, folder: Path, time: float, suffix: str) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"events.out.tfevents.{int(time):010d}.{os.getpid()}.{suffix}"
        self._file = path.open("ab")
        self._records = RecordWriter(self._file)
        self._write(wall_time=time, file_version="brain.Event:2")

    def scalars(self, values: Iterable[tuple[str, float]], step: int, time: float) -> None:
        """Write the values of one step, as one record."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values])
        if summary.value:
            self._write(wall_time=time, step=step, summary=summary)

    def hparams(self, spec: StudySpec, trial: Trial, ended: float | None = None) -> None:
        """Write what the HParams page shows of a trial, its metric aside; when it `ended`, also how."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata

        time = trial.created if ended is None else ended
        for tag, content in _hparams(spec, trial, ended):
            described = metadata.create_summary_metadata(content)
            self._write(wall_time=time, summary=Summary(value=[Summary.Value(tag=tag, metadata=described)]))

    def flush(self) -> None:
        """Let readers see what was written."""
        self._records.flush()

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(**fields).SerializeToString())


def _hparams(spec: StudySpec, trial: Trial, ended: float | None) -> list[tuple[str, Any]]:
    """The plugin's records: the study's space, this trial's config, and at its end how it came to that."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    # What is the same for all would only push the metric out of sight.
    same = constants(spec)
    names = [*spec.parameters, *(name for name in trial.config if name not in spec.parameters)]
    names = [name for name in names if name not in same]
    infos = [_info(name, spec.parameters.get(name), trial.config.get(name)) for name in names]
    types = {info.name: info.type for info in infos}
    objective = api_pb2.MetricName(tag=f"hparam/{spec.objective.name}")
    metrics = [api_pb2.MetricInfo(name=objective, display_name=spec.objective.name)]
    # Every trial writes it, since TensorBoard takes the first it finds: it is about the study, not the trial.
    experiment = api_pb2.Experiment(name=spec.name, hparam_infos=infos, metric_infos=metrics)
    start = plugin_data_pb2.SessionStartInfo(group_name=f"trial {trial.number}", start_time_secs=trial.created)
    for name, value in ((name, trial.config[name]) for name in names if name in trial.config):
        _set(start.hparams[name], value, as_text=types[name] == api_pb2.DATA_TYPE_STRING)
    data = plugin_data_pb2.HParamsPluginData
    records = [
        (metadata.EXPERIMENT_TAG, data(experiment=experiment)),
        (metadata.SESSION_START_INFO_TAG, data(session_start_info=start)),
    ]
    if ended is not None:
        status = api_pb2.STATUS_FAILURE if trial.state is TrialState.FAILED else api_pb2.STATUS_SUCCESS
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
        records.append((metadata.SESSION_END_INFO_TAG, data(session_end_info=end)))
    return records


def _info(name: str, parameter: Parameter | None, value: Any) -> Any:
    """A column of the page: its type, and the values or range it can have."""
    from tensorboard.plugins.hparams import api_pb2

    if isinstance(parameter, Choice | Constant):
        values = parameter.values if isinstance(parameter, Choice) else [parameter.value]
        info = api_pb2.HParamInfo(name=name, type=_type(values))
        for each in values:
            _set(info.domain_discrete.values.add(), each, as_text=info.type == api_pb2.DATA_TYPE_STRING)
        return info
    info = api_pb2.HParamInfo(name=name, type=_type([value]))
    if parameter is not None:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value, info.domain_interval.max_value = parameter.min, parameter.max
    return info


def _type(values: list[Any]) -> Any:
    from tensorboard.plugins.hparams import api_pb2

    if values and all(isinstance(value, bool) for value in values):
        return api_pb2.DATA_TYPE_BOOL
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return api_pb2.DATA_TYPE_FLOAT64
    return api_pb2.DATA_TYPE_STRING


def _set(target: Any, value: Any, *, as_text: bool = False) -> None:
    """Put a config's value into a protobuf Value; what is neither number nor boolean becomes text."""
    if as_text or not isinstance(value, bool | int | float):
        target.string_value = shown(value)
    elif isinstance(value, bool):
        target.bool_value = value
    else:
        target.number_value = value
