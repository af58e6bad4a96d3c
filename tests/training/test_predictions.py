"""What a model says of some images, for TensorBoard."""

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweep.training import predictions

SMALL = {"model": "simplenet", "hidden": 8, "batch_size": 400}


def test_the_same_samples_are_chosen_in_each_trial_first_and_last_among_them():
    found = predictions.chosen(300)
    assert (len(found), int(found[0]), int(found[-1])) == (predictions.MOST, 0, 299)
    assert predictions.chosen(5).tolist() == [0, 1, 2, 3, 4]


def test_a_wrong_answer_looks_other_than_a_right_one():
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    scores = torch.tensor([[9.0, 0.0], [9.0, 0.0]])
    sheet = predictions.picture(images, torch.tensor([0, 1]), scores, ["cat", "dog"])
    assert sheet.dtype == torch.uint8
    colours = {tuple(pixel) for pixel in sheet.flatten(1).T.tolist()}
    assert {predictions.RIGHT, predictions.WRONG} <= colours
    half = predictions.SIDE + 4
    assert predictions.WRONG not in {tuple(pixel) for pixel in sheet[:, :, :half].flatten(1).T.tolist()}


def test_colour_images_keep_their_colours():
    red = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    red[:, 0] = 200
    sheet = predictions.picture(red, torch.tensor([0]), torch.tensor([[1.0]]), ["red"])
    assert (200, 0, 0) in {tuple(pixel) for pixel in sheet.flatten(1).T.tolist()}


def test_a_trial_that_comes_to_its_end_leaves_a_sheet_and_one_that_is_stopped_none(run_trial, tmp_path):
    run_trial("sweep.training.vision:train", SMALL, name="whole", max_t=2)
    board = EventAccumulator(str(tmp_path / "whole" / "tensorboard" / predictions.FOLDER))
    board.Reload()
    (image,) = board.Images("predictions")
    assert image.step == 2
    assert image.encoded_image_string.startswith(b"\x89PNG")
    run_trial("sweep.training.vision:train", SMALL, name="stopped", max_t=3, answers={2: "stop"})
    assert not (tmp_path / "stopped" / "tensorboard").exists()
