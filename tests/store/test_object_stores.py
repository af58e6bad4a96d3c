"""Object stores are reached with the keys of a machine or of a person, and what stands in the way is told in words."""

import json

import pytest

from sweep.errors import InputError
from sweep.store import object_stores
from sweep.store.buckets import Bucket, BucketError


def test_a_store_that_nobody_serves_is_told_in_words(bucket, monkeypatch):
    monkeypatch.setattr("sweep.store.object_stores.RETRY_S", 0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BucketError, match=r"^s3://some/x: can't be read \("):
        Bucket("s3://some/x").get("a")


def test_without_the_package_the_command_that_installs_it_is_named(bucket, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    for url, extra in (("s3://b/x", "s3"), ("gs://b/x", "gcs")):
        with pytest.raises(InputError, match=rf"Run: pip install 'sweep\[{extra}\]'"):
            Bucket(url).put("a", b"")


def test_a_person_is_known_by_a_profile(bucket, monkeypatch, tmp_path):
    (tmp_path / "credentials").write_text("[me]\naws_access_key_id = test\naws_secret_access_key = test\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "me")
    Bucket(bucket).put("a", b"1")
    assert Bucket(bucket).get("a") == b"1"


def test_a_profile_without_keys_leaves_it_to_the_machines_role_and_one_that_is_missing_is_told(
    bucket, monkeypatch, tmp_path
):
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert object_stores._from_profile() is None
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match=r"the AWS profile of this machine can't be used: .*nobody"):
        Bucket(bucket).get("a")


def test_googles_buckets_are_reached_by_googles_store(monkeypatch, tmp_path):
    key = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "key.json"))
    assert type(object_stores.store_of("gs://models")).__name__ == "GCSStore"


def test_a_key_that_is_none_is_told_in_words(monkeypatch, tmp_path):
    (tmp_path / "key.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "key.json"))
    with pytest.raises(
        InputError, match=r"^gs://keyless: can't be reached with the keys or settings of this machine \("
    ):
        Bucket("gs://keyless/x").get("a")
