"""Training functions that the contract suites send to executors."""

import os
import signal


def count(config, ctx):
    """Report epochs 1..n with the loss 1/epoch, from the checkpoint on."""
    state = ctx.restore() or {"epoch": 0}
    print(f"from epoch {state['epoch']}")
    for epoch in range(state["epoch"] + 1, config["n"] + 1):
        ctx.report({"epoch": epoch, "loss": 1 / epoch}, checkpoint={"epoch": epoch})


def fail(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0})
    raise ValueError("the learning rate was a fish")


def die(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0}, checkpoint={"epoch": 1})
    os.kill(os.getpid(), signal.SIGKILL)


def silent(config, ctx):
    print("nothing to report")


def environment(config, ctx):
    ctx.report({"epoch": 1, "loss": float(os.environ["SWEEP_TEST_LOSS"])})
