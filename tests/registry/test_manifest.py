"""What the manifest says survives its file, NaN included."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sweep.registry import promote
from sweep.registry.seals import INDENTED, LINE


def test_nan_and_infinity_come_back_and_any_json_reader_takes_the_file(registry, source):
    metrics = {"a": math.nan, "b": -math.inf, "c": 1.5}
    version = promote(registry, "vit", replace(source, value=math.nan, metrics=metrics), alias=None)

    def refuse(word):
        raise AssertionError(word)

    for name in ("manifest.json", "curve.json"):
        json.loads((version.path / name).read_text(), parse_constant=refuse)
    manifest = version.manifest
    assert math.isnan(manifest.metric.value)
    assert math.isnan(manifest.metrics["a"])
    assert manifest.metrics["b"] == -math.inf


@given(value=st.dictionaries(st.text(), st.text(), min_size=1))
def test_sealed_object_is_still_json(value):
    for seal, indent in ((INDENTED, 2), (LINE, None)):
        body = json.dumps(value, indent=indent).encode()
        sealed = seal.put(body)
        assert seal.check(sealed) == body
        assert json.loads(sealed).keys() == value.keys() | {"sha256"}
