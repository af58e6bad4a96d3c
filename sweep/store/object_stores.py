"""Reaching object stores: by whose library, with whose keys, and how patiently."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import InputError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = {"s3": "s3", "gs": "gcs"}
"""Of a URL, and the extra of this package that brings what it needs."""

RETRY_S = 60.0
"""How long a request is repeated that wasn't answered."""

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_PROFILES = ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def store_of(root: str) -> ObjectStore:
    """The store that serves a bucket, e.g. of s3://bucket; the same for each call in a process.

    Raises:
        InputError: what it needs isn't installed.
    """
    return _connected(root, os.getpid(), *(os.environ.get(name) for name in (*_ENDPOINTS, *_PROFILES, *_KEYS)))


@lru_cache(maxsize=32)
def _connected(root: str, _process: int, *_environment: str | None) -> ObjectStore:
    scheme = root.partition("://")[0]
    try:
        from obstore.store import from_url
    except ImportError as error:
        extra = SCHEMES[scheme]
        raise InputError(f"{root}: needs a package that isn't installed. Run: pip install 'sweep[{extra}]'") from error
    insecure = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    options: dict[str, Any] = {
        # A request may carry much on a slow line; one that is lost is noticed by the connection.
        "client_options": {"timeout": "600s", "connect_timeout": "10s", "allow_http": insecure},
        # The time alone ends it: ten requests, as the library has it, are over in seconds.
        "retry_config": {
            "max_retries": 1000,
            "retry_timeout": timedelta(seconds=RETRY_S),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    }
    if scheme == "s3" and (credentials := _from_profile()) is not None:
        options["credential_provider"] = credentials
    from obstore.exceptions import BaseError

    try:
        return from_url(root, **options)
    except BaseError as error:
        raise InputError(
            f"{root}: can't be reached with the keys or settings of this machine ({reason(error)})."
        ) from error


def reason(error: Exception) -> str:
    """What the library says went wrong, without the details that follow in further lines."""
    return next(iter(str(error).splitlines()), "no reason given").strip()


def _from_profile() -> Any:
    """A person's own credentials, from the files that AWS's command line writes; None where a machine has its role's.

    obstore itself knows keys in the environment, and the roles of machines, pods and containers.
    """
    if any(os.environ.get(name) for name in _KEYS):
        return None
    profiles = any(os.environ.get(name) for name in _PROFILES) or any(
        (Path.home() / ".aws" / name).is_file() for name in ("credentials", "config")
    )
    if not profiles:
        return None
    try:
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise InputError("AWS profiles need a package that isn't installed. Run: pip install 'sweep[s3]'") from error
    try:
        return Boto3CredentialProvider()
    except ValueError:
        # The files name none, e.g. a region only.
        return None
    except BotoCoreError as error:
        raise InputError(f"the AWS profile of this machine can't be used: {error}") from error
