"""A command's words: macros become values, and whatever is wrong with one is an error of the file."""

import argparse
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import MINIMAL, exploring, only, problems

from sweep.core.command_line import LISTS, MACROS, filled, pieces, split
from sweep.core.command_preview import notes, sample, told
from sweep.core.flow import flow
from sweep.core.loading import load
from sweep.core.resolved import resolved_yaml, spec_sha256

CONFIG = {"lr": 1e-05, "width": 64, "name": "a b", "nesterov": True, "amp": False, "clip": None, "opt": {"beta": 0.9}}
PARAMETERS = """\
  width: {min: 1, max: 9}
  optimizer: {name: [sgd, adam], momentum: {min: 0.0, max: 0.9, when: {optimizer.name: sgd}}}
derived: {half: width / 2, eased: optimizer.momentum / 2}
"""


def with_command(command, more=""):
    return re.sub("entrypoint.*\n", lambda _: f"command: {command}\n", MINIMAL) + PARAMETERS + more


def spec(command, more=""):
    return load(with_command(command, more), source="vit.yaml")


@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ("{args}", ["--lr=1e-05", "--width=64", "--name=a b", "--nesterov", "--opt.beta=0.9"]),
        (
            "{args_bool_values}",
            ["--lr=1e-05", "--width=64", "--name=a b", "--nesterov=True", "--amp=False", "--opt.beta=0.9"],
        ),
        ("{args_bool_no}", ["--lr=1e-05", "--width=64", "--name=a b", "--nesterov", "--no-amp", "--opt.beta=0.9"]),
        (
            "{overrides}",
            ["lr=1e-05", "width=64", "name=a b", "nesterov=true", "amp=false", "clip=null", "opt.beta=0.9"],
        ),
        ("{lr}", ["1e-05"]),
        ("--x={width}/{opt.beta}", ["--x=64/0.9"]),
        ("{nesterov}{clip}", ["TrueNone"]),
        ("{{{seed}}}", ["{7}"]),
        ("{trial}", ["{trial}"]),
    ],
)
def test_a_macro_becomes_its_value(macro, words):
    assert filled(["run", macro], CONFIG, {"seed": 7}) == ["run", *words]


def test_the_config_as_json_reads_back():
    (text,) = filled(["{config_json}"], CONFIG, {})
    assert json.loads(text) == CONFIG


def test_quotes_keep_words_together_and_no_shell_is_asked():
    assert filled("python 'my script.py' --note \"a {lr} b\"", {"lr": "$HOME; x"}, {}) == [
        "python",
        "my script.py",
        "--note",
        "a $HOME; x b",
    ]


@exploring(100)
@given(st.text(min_size=1, max_size=9), st.floats(allow_nan=False), st.integers(), st.booleans(), st.booleans())
def test_argparse_reads_back_what_was_searched(text, real, whole, first, second):
    parser = argparse.ArgumentParser()
    parser.add_argument("--text")
    parser.add_argument("--real", type=float)
    parser.add_argument("--whole", type=int)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--second", action=argparse.BooleanOptionalAction, default=not second)
    config = {"text": text, "real": real, "whole": whole, "first": first}
    words = [*filled(["{args}"], config, {}), *filled(["{args_bool_no}"], {"second": second}, {})]
    assert vars(parser.parse_args(words)) == {**config, "second": second}


@exploring(200)
@given(st.text("{}ab $", max_size=12))
def test_doubled_braces_are_any_text(text):
    word = text.replace("{", "{{").replace("}", "}}")
    assert filled([word], {}, {}) == [text]


@exploring(200)
@given(st.text("{}ab ", max_size=12))
def test_pieces_begin_where_they_say(word):
    try:
        found = pieces(word)
    except ValueError:
        return
    for piece in found:
        assert word[piece.column - 1 :].startswith("{" if piece.macro else piece.text[:1])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ('""', "1:10: command: is empty. Write command: python train.py {args}."),
        ("python 'train.py", """1:10: command: a quote is never closed in "python 'train.py"."""),
        ("python {lrr}", "1:10: command: column 1 of '{lrr}': {lrr} is neither a parameter nor a macro. Did you mean"),
        ("[python, a, --x={seeed}]", 'Put a word that has braces in it in quotes: "--lr={lr}".'),
        ('[python, a, "--x={seeed}"]', "1:22: command[2]: column 5 of '--x={seeed}': {seeed} is neither"),
        ("python x{args}", "command: column 2 of 'x{args}': {args} becomes several words, so it stands alone."),
        ("python {optimizer.momentum}", "not every trial has optimizer.momentum, by its when. Use {args}"),
        ("python {eased}", "not every trial has eased, by its when."),
        ("python {", "command: column 1 of '{': a lone '{'. Write {{ for it."),
        ("python a}", "command: column 2 of 'a}': a lone '}'. Write }} for it."),
        ("python a.py > log", "command: no shell reads it, so '>' would go to the script."),
        ("python a.py $HOME/x", "command: no shell reads it, so '$HOME' would go to the script."),
        ("A=1 python a.py", 'Write environment: {env: {A: "1"}}.'),
        ("[python, true]", "command: a word is true. Words are texts and numbers; put quotes around true."),
        ("[python, {a: 1}]", "command: a word is a map."),
        ("7", "command: expected a text or a list of words, got 7."),
        ("{python} a.py {args}", '. Put the command in quotes: command: "{python} a.py {args}"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(command, message):
    assert message in only(with_command(command))


def test_a_macro_that_is_a_parameter_too_is_refused_where_it_is_used_only():
    more = "constraints: [seed < 9]\n"
    text = with_command("python a.py {args}", more).replace("  width:", "  seed: {min: 1, max: 8}\n  width:")
    load(text, source="vit.yaml")
    assert "seed is a macro, and a parameter here. Pass it by {args}" in only(text.replace("{args}", "{seed}"))


def test_a_parameter_that_is_wrong_is_no_unknown_name():
    (line,) = problems(with_command("python a.py {lr}").replace("min: 1e-5", "min: five"))
    assert "parameters.lr.min" in line


def test_exactly_one_of_entrypoint_and_command():
    assert "stands beside entrypoint" in only(MINIMAL + "command: python a.py {args}\n")
    assert "or command: a script's" in only(re.sub("entrypoint.*\n", "", MINIMAL))


def test_yaml_takes_an_unquoted_macro_in_a_list_for_a_map_and_it_is_meant():
    assert spec("[{python}, a.py, {args}, 9, 0.5]").command == ["{python}", "a.py", "{args}", "9", "0.5"]


@exploring(100)
@given(st.lists(st.text(max_size=9).map(lambda text: text.replace("{", "{{").replace("}", "}}")), min_size=1))
def test_a_list_of_words_survives_the_resolved_file(words):
    words = [word.replace("$", "") for word in words]
    found = spec(flow(words))
    again = load(resolved_yaml(found), source="vit.yaml")
    assert found.command == words
    assert (again, spec_sha256(again)) == (found, spec_sha256(found))


def test_every_macro_is_known_to_the_loader():
    for name in MACROS:
        spec(f"python a.py {{{name}}}")
    assert set(LISTS) < set(MACROS)


def test_preview_shows_the_words_of_a_config_from_the_middle():
    found = spec('"{python} a.py --lr={lr} --half {half} --epochs {max_t} --out {checkpoint_dir}"')
    words = sample(found)
    assert words[:2] == ["python", "a.py"]
    assert words[3:] == ["--half", "2.5", "--epochs", "100", "--out", "{checkpoint_dir}"]
    assert float(words[2].removeprefix("--lr=")) == pytest.approx(1e-3)
    assert told(["a b", "c"]) == "'a b' c"
    assert sample(load(MINIMAL, source="vit.yaml")) == []


def test_notes_name_what_a_command_keeps_from_the_script():
    stops = "scheduler: {promote: false}\n"
    assert notes(spec("python a.py {args}", stops)) == ()
    (line,) = notes(spec("python a.py --lr {lr}", stops))
    assert line.startswith("command doesn't pass width, optimizer.name, optimizer.momentum: the script has to ask")
    (line,) = notes(spec("python a.py {args}", "scheduler: {promote: true}\n"))
    assert "a trial that pauses starts anew" in line
    assert notes(spec("python a.py {args} {checkpoint_dir}", "scheduler: {promote: true}\n")) == ()
    (line,) = notes(spec("python a.py {args}", stops + "resources: {gpu: auto}\n"))
    assert "auto learns of memory only from scripts that use sweep" in line
    assert notes(load(MINIMAL, source="vit.yaml")) == ()


def test_split_leaves_a_list_as_it_is():
    assert split(["a b", "c"]) == ["a b", "c"]
