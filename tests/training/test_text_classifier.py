"""The text classifier: it learns, resumes bit for bit, reads one's own files, and refuses what it can't do."""

import csv
import json
from functools import partial

import pytest
import torch
from trained import content, same

from sweep.errors import CheckpointError, TrainingError
from sweep.store import checkpoints
from sweep.training import text
from sweep.training.data import texts
from sweep.training.models.text_encoder import TextEncoder
from sweep.training.settings import TextSettings
from sweep.training.tokenizer import Tokenizer

COLOURS = ("red", "green", "blue")
SMALL = {"data": "table", "dim": 8, "depth": 1, "heads": 2, "batch_size": 16, "lr": 0.02, "length": 8}


@pytest.fixture
def run(run_trial):
    return partial(run_trial, "sweep.training.text:train")


@pytest.fixture
def table(tmp_path):
    """A JSON lines file of 90 texts whose first word, of many, gives the class."""
    file = tmp_path / "table.jsonl"
    rows = [{"text": f"the {COLOURS[n % 3]} thing number {n}", "label": COLOURS[n % 3]} for n in range(90)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.slow
def test_docstrings_are_told_apart_far_better_than_by_their_most_frequent_class(run):
    """A fifth would be right by chance."""
    assert run({"dim": 32, "depth": 1, "lr": 5e-3, "length": 16}, max_t=4).reports[-1]["val_accuracy"] > 0.6


def test_what_is_reported_and_learned(run, table):
    reports = run({**SMALL, "file": str(table)}, max_t=12).reports
    assert reports[0].keys() == {"epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "texts_per_s"}
    assert reports[-1]["val_accuracy"] == 1


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9, "accumulate": 2, "schedule": "onecycle"}], ids=["plain", "keys"])
def test_a_resumed_trial_ends_with_the_same_weights_bit_for_bit(run, table, extra):
    config = {**SMALL, "file": str(table), "dropout": 0.3, **extra}
    whole = run(config, name="whole")
    broken = run(config, name="broken", answers={2: "stop"})
    torch.rand(7)  # whatever else the process did in between
    resumed = run(config, name="broken", attempt=3, checkpoint=broken.checkpoints[-1])
    assert same(content(whole.checkpoints[-1]), content(resumed.checkpoints[-1]))
    assert whole.reports[-1]["val_loss"] == resumed.reports[-1]["val_loss"]


def test_a_checkpoint_classifies_and_is_evaluated_by_itself(run, table):
    channel = run({**SMALL, "file": str(table)}, max_t=12)
    checkpoint = channel.checkpoints[-1]
    assert text.classify(checkpoint, ["the blue thing", "red"]) == ["blue", "red"]
    scores = text.evaluate(checkpoint, split="val")
    assert scores["val_loss"] == pytest.approx(channel.reports[-1]["val_loss"], rel=1e-5)
    assert text.evaluate(checkpoint)["test_accuracy"] == 1
    with pytest.raises(TrainingError, match="table has no split 'dev'"):
        text.evaluate(checkpoint, split="dev")
    table.write_text(table.read_text().replace("thing", "stuff"))
    with pytest.raises(TrainingError, match="table has changed since"):
        text.evaluate(checkpoint)


def test_evaluate_refuses_what_another_function_wrote(tmp_path):
    checkpoints.write(tmp_path / "epoch-1", lambda folder: None, {"t": 1})
    with pytest.raises(CheckpointError, match="doesn't say which model, data and tokenizer"):
        text.evaluate(tmp_path / "epoch-1")


def test_keys_of_images_are_unknown_here():
    with pytest.raises(TrainingError, match="config: augment: unknown"):
        TextSettings.parse({"augment": "crop"}, 1)


# The model.


def test_padding_changes_nothing():
    torch.manual_seed(0)
    model = TextEncoder(3, 10, 8, dim=8, depth=2, heads=2).eval()
    short, long = torch.tensor([[2, 3, 4]]), torch.tensor([[2, 3, 4, 0, 0, 0]])
    assert torch.allclose(model(short), model(long), atol=1e-6)
    assert not torch.allclose(model(short), model(torch.tensor([[3, 2, 4]])), atol=1e-6)


def test_heads_divide_dim():
    with pytest.raises(TrainingError, match="heads 3 doesn't divide dim 8"):
        TextEncoder(3, 10, 8, dim=8, heads=3)


# The tokenizer.


def test_the_most_frequent_words_have_tokens():
    tokenizer = Tokenizer.learn(["b a, a", "A b c."], size=4)
    assert tokenizer.words == ["a", "b"]
    assert len(tokenizer) == 4
    assert tokenizer(["b? A!", ""], length=3).tolist() == [[3, 1, 2], [1, 0, 0]]


# One's own files.


def test_a_csv_file_is_split_with_each_class_in_every_part(tmp_path):
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "stars"])
        writer.writerows([[f"one, two\n{n}", n % 2] for n in range(40)])
    data = texts.load("table", file=str(tmp_path / "t.csv"), text="review", label="stars")
    assert data.classes == ("0", "1")
    assert [len(pair.labels) for pair in (data.train, data.val, data.test)] == [32, 4, 4]
    assert all(pair.labels.float().mean() == 0.5 for pair in (data.train, data.val, data.test))
    assert sorted(data.train.texts + data.val.texts + data.test.texts) == sorted(f"one, two\n{n}" for n in range(40))
    assert texts.load("table", file=str(tmp_path / "t.csv"), text="review", label="stars") is data


def test_a_folder_brings_its_own_splits(tmp_path):
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text(f"text,label\n{split} a,x\n{split} b,y\n")
    data = texts.load("table", file=str(tmp_path))
    assert (data.train.texts, data.val.texts, data.test) == (("train a", "train b"), ("val a", "val b"), None)
    (tmp_path / "val.csv").write_text("text,label\na,z\n")
    with pytest.raises(TrainingError, match=r"val\.csv has classes that train lacks: z"):
        texts.load("table", file=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("t.txt", "a", "t.txt is no .csv or .jsonl file"),
        ("t.csv", "text,tag\na,b\n", r"t.csv:2 has no 'label'; it has text, tag. Name the columns"),
        ("t.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "t.jsonl can't be read"),
        ("t.jsonl", "[1]\n", "line 1 is no object"),
        ("t.csv", "text,label\n", "t.csv has no rows"),
        ("t.csv", "text,label\na,1\nb,2\n", "can't be split into train and val"),
        ("t.csv", None, "there is no file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, written, words):
    if written is not None:
        (tmp_path / name).write_text(written)
    with pytest.raises(TrainingError, match=words):
        texts.load("table", file=str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("docstring", {}, "'docstring' is unknown. Did you mean docstrings"),
        ("docstrings", {"file": "a.csv"}, "docstrings has no option 'file'. Its options: none"),
        ("table", {}, "table needs file, e.g. file: reviews.csv"),
    ],
)
def test_wrong_names_and_options_are_told(name, options, words):
    with pytest.raises(TrainingError, match=words):
        texts.load(name, **options)


def test_docstrings_are_balanced_and_name_no_library():
    data = texts.load("docstrings")
    assert torch.bincount(data.train.labels).tolist() == [800] * 5
    assert not any("numpy" in each.lower().split() for each in data.train.texts)
    assert len(set(data.train.texts) | set(data.val.texts) | set(data.test.texts)) == 5000
