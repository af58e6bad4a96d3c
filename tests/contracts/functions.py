"""Training functions that the contract suites send to executors."""

import contextlib
import os
import signal
import sys


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


def together(config, ctx):
    """Report epochs 1..n with the mean of all ranks' numbers: 0.5 for two."""
    import torch

    ctx.wrap(torch.nn.Linear(1, 1))
    for epoch in range(1, config["n"] + 1):
        ctx.report({"epoch": epoch, "loss": ctx.mean(ctx.rank)}, checkpoint={"epoch": epoch, "rank": ctx.rank})
    raise ValueError("nobody stopped it")


def silent(config, ctx):
    print("nothing to report")


def environment(config, ctx):
    ctx.report({"epoch": 1, "loss": float(os.environ["SWEEP_TEST_LOSS"])})


def leave(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0})
    sys.exit(config.get("code"))


class Abort(BaseException):
    pass


def abort(config, ctx):
    raise Abort("not even an Exception")


def surrogates(config, ctx):
    raise ValueError(os.fsdecode(b"caf\xe9.png"))


def close_stdout(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0})
    sys.stdout.close()
    sys.stderr.close()
    print("said to a closed stream")


def swallow(config, ctx):
    with contextlib.suppress(Exception):
        ctx.report({"epoch": 1, "loss": 1.0})
