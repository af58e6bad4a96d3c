"""TensorBoard's files, read back with TensorBoard itself."""

from __future__ import annotations

import logging
import math
import subprocess
import sys

import pytest
from plays import Play, new_spec
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from sweep.core.spec import Budget
from sweep.core.trial import TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.tensorboard import TensorBoard


def read(paths: StudyPaths, trial: int) -> EventAccumulator:
    found = EventAccumulator(str(paths.trial(trial).tensorboard))
    found.Reload()
    return found


def curve(paths: StudyPaths, trial: int, tag: str = "val_loss") -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(paths, trial).Scalars(tag)]


def watched(play: Play, paths: StudyPaths) -> TensorBoard:
    board = TensorBoard(paths)
    play._seen = board.event
    return board


def finished(paths: StudyPaths, **changes) -> Play:
    play = Play(new_spec(**changes))
    board = watched(play, paths)
    play.to_the_end(fail_each=7)
    board.close()
    return play


def test_each_report_is_a_point_at_its_fidelity(paths):
    machine = finished(paths).machine
    for trial in machine.trials.values():
        if not trial.reports:
            continue
        for tag in ("val_loss", "accuracy"):
            wanted = [(report.t, pytest.approx(report.metrics[tag])) for report in trial.reports]
            assert curve(paths, trial.number, tag) == wanted
        assert "epoch" not in read(paths, trial.number).Tags()["scalars"]


def test_every_ended_trial_is_on_the_hparams_page(paths):
    machine = finished(paths).machine
    for trial in machine.trials.values():
        board = read(paths, trial.number)
        content = {tag: board.SummaryMetadata(tag).plugin_data.content for tag in board.PluginTagToContent("hparams")}
        start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
        assert start.hparams["lr"].number_value == trial.config["lr"]
        assert start.hparams["optimizer"].string_value == trial.config["optimizer"]
        assert start.hparams["mixed"].string_value == {1: "1", "a": "a", None: "null"}[trial.config["mixed"]]
        assert start.group_name == f"trial {trial.number}"
        end = metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
        failed = trial.state is TrialState.FAILED
        assert end.status == (api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS)
        experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
        assert [info.name for info in experiment.hparam_infos] == [
            "lr",
            "optimizer",
            "mixed",
        ]  # not width, which all share
        assert experiment.hparam_infos[0].domain_interval.max_value == 0.1
        assert [each.string_value for each in experiment.hparam_infos[1].domain_discrete.values] == ["adamw", "sgd"]
        assert experiment.metric_infos[0].name.tag == "hparam/val_loss"
        value = trial.value(machine.metric)
        if value is not None:
            assert curve(paths, trial.number, "hparam/val_loss")[-1] == (trial.t, pytest.approx(value))


def test_a_trial_at_work_is_on_the_hparams_page_with_its_best_so_far(paths):
    play = Play(new_spec(), slots=1)
    board = watched(play, paths)
    play.begin()
    play.step()
    play.report(0, 2.5)
    content = read(paths, 0).PluginTagToContent("hparams")
    assert metadata.SESSION_START_INFO_TAG in content
    assert metadata.SESSION_END_INFO_TAG not in content
    assert curve(paths, 0, "hparam/val_loss") == [(1, 2.5)]
    board.close()


def test_values_that_are_no_numbers_are_left_out(paths):
    play = Play(new_spec(), slots=1)
    board = watched(play, paths)
    play.begin()
    play.step()
    play.report(0, extra=math.inf)
    board.close()
    assert curve(paths, 0)
    assert "extra" not in read(paths, 0).Tags()["scalars"]


def test_a_resumed_trial_goes_on_without_writing_a_step_twice(paths):
    play = Play(new_spec(), slots=1)
    board = watched(play, paths)
    play.begin()
    play.step()
    for _ in range(3):
        play.report(0)
    board.close()
    board = watched(play, paths)
    play.begin()
    play.step()
    trial = play.machine.trials[0]
    assert len(trial.attempts) == 2
    play.now += 5
    again = {"epoch": 3.0, "val_loss": 99.0}
    play.handle(reported(play, again))
    play.report(0)
    board.close()
    assert [step for step, _ in curve(paths, 0)] == [1, 2, 3, 4]
    assert 99.0 not in [value for _, value in curve(paths, 0)]


def reported(play: Play, metrics: dict[str, float]):
    from sweep.core import events as ev

    return ev.Reported(time=play.now, trial=0, attempt=2, metrics=metrics)


def test_a_lost_folder_is_filled_again_from_the_history(paths):
    play = Play(new_spec(), slots=1)
    play.begin()
    play.step()
    play.report(0)
    board = watched(play, paths)
    play.begin()
    play.step()
    play.report(0)
    board.close()
    assert [step for step, _ in curve(paths, 0)] == [1, 2]


def test_a_waiting_trial_that_the_studys_end_stops_gets_its_row(paths):
    from sweep.core import events as ev

    play = Play(new_spec(budget=Budget(time="30s")), slots=1)
    board = watched(play, paths)
    play.begin()
    play.step()
    play.report(0)
    play._end(0, "lost")
    play.now += 60
    play.handle(ev.Ticked(time=play.now))
    board.close()
    assert play.machine.trials[0].state is TrialState.STOPPED
    assert metadata.SESSION_END_INFO_TAG in read(paths, 0).PluginTagToContent("hparams")


def test_a_disk_error_is_told_once_and_the_study_goes_on(paths, caplog):
    paths.root.mkdir(parents=True)
    paths.trials.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        play = finished(paths)
    assert play.machine.ended.complete
    assert [record.message for record in caplog.records if "TensorBoard" in record.message] == [
        caplog.records[0].message
    ]
    assert "The study goes on." in caplog.text


def test_a_full_disk_ends_the_writing_only(paths, caplog, monkeypatch):
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweep.watch.event_file.EventFile.flush", full)
    play = finished(paths)
    assert play.machine.ended.complete
    assert caplog.text.count("No space left on device") == 1


def test_the_watchers_import_neither_torch_nor_ray():
    code = (
        "import sys, sweep.watch.live, sweep.watch.lines, sweep.watch.summary, sweep.watch.tensorboard;"
        "from sweep.watch.event_file import EventFile; from pathlib import Path; import tempfile;"
        "folder = tempfile.TemporaryDirectory(); EventFile(Path(folder.name), 1.0, 'x').close();"
        "print([name for name in ('torch', 'ray', 'tensorboardX', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
