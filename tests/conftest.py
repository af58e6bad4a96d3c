"""What all tests share."""

from __future__ import annotations

import tempfile
import uuid
import warnings

import object_store
import pytest
from hypothesis import settings

# A shared machine makes any time limit a lie.
settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")


@pytest.fixture(scope="session", autouse=True)
def _data_cache(tmp_path_factory):
    """Decoded datasets of this session, its subprocesses and its Ray; the user's own cache is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEP_DATA_CACHE", str(tmp_path_factory.mktemp("data-cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_ray():
    """What names no cluster starts one of its own: Ray would join one that a test beside this has on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray of this test session's own, with logical CPUs; shut down at its end."""
    import ray

    with tempfile.TemporaryDirectory(prefix="swr", ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=4, _temp_dir=folder, log_to_driver=False, include_dashboard=True)
        yield ray
        ray.shutdown()


@pytest.fixture
def ray_state(ray_cluster, monkeypatch):
    """Ray's state API, asked of this session's Ray: `ray_state("list_tasks", limit=10)`."""
    import ray.util.state

    # Which else counts for more than the address that is named.
    monkeypatch.delenv("RAY_ADDRESS")
    address = ray_cluster.get_runtime_context().gcs_address
    return lambda function, **options: getattr(ray.util.state, function)(address=address, **options)


@pytest.fixture(scope="session")
def object_store_server():
    """The settings of an object store that speaks S3's language."""
    with object_store.serving() as settings:
        yield settings


@pytest.fixture
def bucket(object_store_server, monkeypatch, tmp_path):
    """The URL of an empty place in a bucket, for this process and those that it starts; copies go to a folder of it."""
    for name, value in object_store_server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "copies"))
    return f"s3://{object_store.BUCKET}/{uuid.uuid4().hex[:8]}"
