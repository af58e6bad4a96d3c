"""States of many tensors, copied and saved as one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.training import packing, states

DTYPES = [torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16]


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    found = torch.arange(torch.Size(shape).numel()).reshape(shape).to(draw(st.sampled_from(DTYPES)))
    return found.transpose(0, -1) if len(shape) > 1 and draw(st.booleans()) else found


@given(st.lists(tensors(), max_size=8))
def test_copies_have_each_tensor_s_shape_type_and_values(originals):
    copies = packing.to_host([*originals, *originals])
    assert copies.keys() == {id(each) for each in originals}
    for each in originals:
        assert copies[id(each)].dtype == each.dtype
        assert torch.equal(copies[id(each)], each)
        assert each.numel() == 0 or copies[id(each)].data_ptr() != each.data_ptr()


def test_small_tensors_of_a_type_are_one_memory_in_the_file_and_their_own_when_read(tmp_path):
    state = {"small": [torch.full((10,), float(n)) for n in range(50)], "large": torch.zeros(packing.SMALL)}
    snapshot = states.Snapshot(state, copied=True)
    assert len({each.untyped_storage().data_ptr() for each in snapshot.state["small"]}) == 1
    assert snapshot.state["large"].untyped_storage().nbytes() == state["large"].nbytes
    snapshot.write(tmp_path)
    found = states.read(tmp_path, lambda: "cpu")
    assert not any(packing.is_part(each) for each in [*found["small"], found["large"]])
    assert [float(each[0]) for each in found["small"]] == list(range(50))


def test_a_row_of_a_large_tensor_is_saved_without_the_others(tmp_path):
    rows = torch.zeros(1000, 1000)
    states.Snapshot({"row": rows[7]}, copied=False).write(tmp_path)
    assert (tmp_path / states.TORCH_FILE).stat().st_size < 10_000


def test_a_state_of_whole_tensors_that_may_not_change_is_not_copied():
    state = {"w": torch.zeros(3)}
    assert states.Snapshot(state, copied=False).state is state


def test_parameters_stay_parameters(tmp_path):
    model = torch.nn.Linear(2, 2)
    state = {"weight": model.weight, "again": model.weight, "free": torch.ones(2, requires_grad=True)}
    snapshot = states.Snapshot(state, copied=True)
    assert isinstance(snapshot.state["weight"], torch.nn.Parameter)
    assert snapshot.state["weight"] is snapshot.state["again"]
    assert snapshot.state["free"].requires_grad
    snapshot.write(tmp_path)
    found = states.read(tmp_path, lambda: "cpu")
    assert found["weight"].is_leaf
    assert torch.equal(found["weight"], model.weight)


def test_threads_take_their_states_one_after_the_other(monkeypatch):
    """At the same time they hand the interpreter to each other at each tensor, and take many times as long."""
    inside, most, lock = [0], [0], threading.Lock()
    whole = packing.to_host

    def counted(tensors):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        copies = whole(tensors)
        with lock:
            inside[0] -= 1
        return copies

    monkeypatch.setattr(packing, "to_host", counted)
    state = {str(n): torch.zeros(100) for n in range(200)}
    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(states.Snapshot, state, copied=True)
    assert most == [1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_small_tensors_of_a_gpu_come_in_one_pinned_memory():
    originals = [torch.full((n + 1,), float(n), device="cuda") for n in range(100)]
    copies = packing.to_host(originals)
    torch.cuda.current_stream().synchronize()
    assert all(copies[id(each)].is_pinned() and torch.equal(copies[id(each)], each.cpu()) for each in originals)
