"""A person looks for a trial in Ray's dashboard, with a real browser."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from heads import head

from sweep.remote import login

TOKEN = "6" * 64
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SPEC = """
name: seen
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
search: {algorithm: random}
scheduler: {type: none, max_t: 3}
budget: {trials: 2}
resources: {cpu: 1}
"""
TRAIN = """
import pathlib, time

def train(config, ctx):
    print(f"the words of trial {ctx.trial}", flush=True)
    ctx.report({"loss": config["x"]})
    while not pathlib.Path(GO).exists():
        time.sleep(0.1)
    ctx.report({"loss": config["x"] / 2})
"""
SHOTS = os.environ.get("SWEEP_SHOTS")
"""A folder for pictures of what the test sees, e.g. those in docs/."""


@pytest.fixture(scope="module")
def window():
    """A browser's window, logged in by the door to the dashboard of a cluster that runs a study; and its address."""
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        # As in our image: the dashboard shows what an attempt printed at its row.
        patch.setenv("RAY_ENABLE_RECORD_ACTOR_TASK_LOGGING", "1")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        with head(TOKEN) as (address, home):
            go = home / "go"
            (home / "seen.yaml").write_text(SPEC)
            (home / "train.py").write_text(f"GO = {str(go)!r}\n{TRAIN}")
            command = [sys.executable, "-m", "sweep", "launch", "seen.yaml", "--address", address, "--detach"]
            subprocess.run(command, check=True, cwd=home, timeout=240)
            login.check(address, wait_s=30)
            with sync_playwright() as playwright, login.door(address) as door:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
                )
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                page.set_default_timeout(90_000)
                page.goto(door)
                yield page, address
                go.touch()
                browser.close()


def shot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
def test_a_trial_is_found_by_its_name_with_its_log(window):
    page, address = window
    page.goto(f"{address}/#/jobs")
    row = page.get_by_role("row").filter(has_text="sweep launch seen")
    row.wait_for()
    assert "Authentication Token Required" not in page.inner_text("body")
    shot(page, "ray-jobs")

    # The job says what it is of.
    row.get_by_role("link").first.click()
    page.get_by_text("Task Table").wait_for()
    page.get_by_text("Task Table").click()
    attempt = page.get_by_role("row").filter(has_text=re.compile(r"seen #0 x=\S+ attempt 1.*RUNNING", re.DOTALL))
    attempt.wait_for()
    attempt.scroll_into_view_if_needed()
    shot(page, "ray-tasks")

    # And its log is the training function's.
    attempt.get_by_role("link").filter(has_text="Log").click()
    page.get_by_text("stdout").first.wait_for()
    page.get_by_role("tab", name="stdout").click()
    page.get_by_text("the words of trial 0").wait_for()
    shot(page, "ray-log")
