"""What this version can't do is said, a line each, and nothing else is."""

# a message stands whole beside the line that causes it

import pytest
from spec_files import COMPLETE, MINIMAL

from sweep.core.loading import load
from sweep.core.support import unsupported

SUPPORTED = """
  m: {min: 0, max: 1, when: {o: sgd}}
  h: [1, 2, 3, 4]
  w: [1, 2, 3, 4]
  n: {min: 1, max: 9, step: 2}
  o: [sgd, adam]
  c: 3
derived: {a: lr * 2}
zip: [[w, h]]
constraints: [a < 1]
search: {algorithm: random, seed: 1, startup_trials: 3, points_to_evaluate: [{lr: 0.01}], warm_start: [a]}
scheduler: {type: asha, max_t: 9, brackets: 2, promote: true}
budget: {trials: 10, time: 1h, failures: 3, gpu_hours: 3, cost: 20}
resources: {gpu: 0.5, cpu: 2, gpu_memory: 8GiB, max_concurrent: 3, fuse: 4, price: {gpu_hour: 2.5}}
retries: {max: 2, on_oom: grow}
checkpoint: {every: 2, keep_last: 2, keep_best_in_study: 4}
promote: {model: vit, top_k: 2}
environment: {env: {A: b}, working_dir: .}
storage: /shared/studies
"""


def _lines(addition, *overrides):
    return unsupported(load(MINIMAL + addition, source="vit.yaml", overrides=overrides))


def test_what_is_supported_is_not_mentioned():
    assert _lines("") == []
    assert _lines(SUPPORTED) == []
    assert _lines("search: {algorithm: tpe}\nscheduler: {type: none, promote: true}\nresources: {gpu: auto}\n") == []


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("environment: {image: x}\n", "environment.image: is not supported"),
    ],
)  # fmt: skip
def test_each_missing_engine_has_its_line(addition, line):
    (found,) = _lines(addition)
    assert line in found


def test_scripts_are_supported():
    text = MINIMAL.replace("entrypoint: sweep.training.vision:train", "command: python train.py {args}")
    assert unsupported(load(text, source="vit.yaml")) == []


def test_repeats_of_changing_configs_have_no_meaning():
    (line,) = _lines("search: {repeats: 2}\nscheduler: {type: pbt}\nbudget: {trials: 4}\n")
    assert "search.repeats: with scheduler.type pbt it is not supported" in line


@pytest.mark.parametrize("second", ["{name: b, max: 3}", "{name: b, goal: minimize}"])
def test_bounds_and_several_objectives_can_have_patience_and_repeats(second):
    text = MINIMAL.replace("{name: val_loss, goal: minimize}", f"[{{name: a, goal: minimize}}, {second}]")
    text += "budget: {patience: 3}\nsearch: {repeats: 2, warm_start: [a]}\n"
    assert unsupported(load(text, source="vit.yaml")) == []


def test_an_override_is_named():
    assert _lines("", "environment.image=x")[0].startswith("--set environment.image=x: environment.image: is not")


def test_a_file_that_asks_for_everything_gets_a_line_each():
    lines = unsupported(load(COMPLETE, source="vit.yaml"))
    assert lines
    assert len({line.split(": ")[1] for line in lines}) == len(lines)
