"""`sweep report` and `sweep compare`, typed."""

import json


def test_a_report_is_written_where_it_is_asked(launch, sweep, folder):
    launch("toy.yaml")
    assert sweep("report", "toy").code == 0
    assert (folder / "toy.html").read_text().startswith("<!doctype html>")
    assert sweep("report", "toy", "--out", "else.html").code == 0
    assert (folder / "else.html").is_file()


def test_markdown_goes_to_stdout(launch, sweep):
    launch("toy.yaml")
    done = sweep("report", "toy", "--format", "md")
    assert done.code == 0
    assert done.out.startswith("# toy\n")


def test_json_is_for_programs(launch, sweep):
    launch("toy.yaml")
    assert json.loads(sweep("report", "toy", "--json").out)["study"] == "toy"


def test_the_next_file_is_valid_and_never_overwrites(launch, sweep, folder):
    launch("toy.yaml")
    assert sweep("report", "toy", "--next", "next.yaml").code == 0
    assert sweep("validate", "next.yaml").code == 0
    before = (folder / "next.yaml").read_text()
    again = sweep("report", "toy", "--next", "next.yaml")
    assert again.code == 2
    assert "next.yaml: there already" in again.err
    assert (folder / "next.yaml").read_text() == before


def test_a_report_that_cannot_be_written_says_so(launch, sweep):
    launch("toy.yaml")
    done = sweep("report", "toy", "--out", "missing/report.html")
    assert done.code == 2
    assert "missing/report.html: can't be written" in done.err


def test_two_studies_are_compared(launch, sweep, folder):
    launch("toy.yaml")
    launch("toy.yaml", "--name", "other", "--set", "search.seed=5")
    done = sweep("compare", "toy", "other")
    assert done.code == 0
    assert "search.seed: 0 -> 5" in done.out
    assert json.loads(sweep("compare", "toy", "other", "--json").out)["studies"] == ["toy", "other"]
    assert sweep("compare", "toy", "other", "--out", "both.html").code == 0
    assert (folder / "both.html").is_file()


def test_a_study_that_is_not_there_is_told_with_the_nearest(launch, sweep):
    launch("toy.yaml")
    done = sweep("compare", "toy", "toi")
    assert done.code == 2
    assert "Did you mean toy?" in done.err


def test_trials_are_a_parquet_file_with_the_columns_of_the_csv(launch, sweep, folder):
    import pyarrow.parquet as pq

    launch("toy.yaml")
    assert sweep("trials", "toy", "--parquet", "trials.parquet").code == 0
    table = pq.read_table(folder / "trials.parquet")
    head, *rows = sweep("trials", "toy", "--csv").out.splitlines()
    assert table.column_names == head.split(",")
    assert table.num_rows == len(rows)
    assert sweep("trials", "toy", "--parquet", "none/x.parquet").code == 2
