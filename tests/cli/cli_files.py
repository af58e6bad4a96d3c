"""A training function and a search file for the tests of the command line."""

TRAIN = """
def train(config, ctx):
    for epoch in range(1, 4):
        ctx.report({"epoch": epoch, "loss": abs(config["x"]) + 1 / epoch}, checkpoint={"epoch": epoch})

def raises(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0})
    raise ValueError("the data is made of cheese")

def misnamed(config, ctx):
    ctx.report({"epoch": 1, "los": 1.0})

number = 3
"""

SPEC = """\
name: toy
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  x: {min: -1.0, max: 1.0}
search: {algorithm: random}
scheduler: {max_t: 3}
budget: {trials: 4}
resources: {cpu: 1}
promote: {model: toy}
"""
