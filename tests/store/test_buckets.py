"""A place in an object store: whole objects, and of several creators one."""

import http.server
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.exceptions import UnauthenticatedError
from obstore.store import LocalStore, MemoryStore

from sweep.errors import InputError
from sweep.store import buckets
from sweep.store.buckets import Bucket, BucketError, check_url


@pytest.fixture(params=["s3", "gs"])
def place(request, monkeypatch):
    """One in S3; and one of Google's, whose requests a store in memory answers."""
    if request.param == "s3":
        return Bucket(request.getfixturevalue("bucket"))
    served = MemoryStore()
    monkeypatch.setattr(buckets, "store_of", lambda root: served if root == "gs://models" else pytest.fail(root))
    return Bucket("gs://models/studies")


def test_of_two_creators_one_succeeds_and_the_object_is_its(place):
    assert place.create("a/1", b"first")
    assert not place.create("a/1", b"second")
    assert place.get("a/1") == b"first"


def test_the_first_one_is_what_both_get(place):
    assert place.first("a", b"one") == b"one"
    assert place.first("a", b"two") == b"one"


def test_an_object_that_can_neither_be_made_nor_is_there_is_told(place, monkeypatch):
    monkeypatch.setattr(buckets, "_PAUSE_S", 0)
    monkeypatch.setattr(Bucket, "create", lambda *_: False)
    with pytest.raises(BucketError, match=r"a can't be made, though it isn't there. Try again"):
        place.first("a", b"one")


@pytest.fixture
def breaking(monkeypatch):
    """A store that breaks the line after the first request, and takes the others."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.append(self.command)
            if len(seen) == 1:
                # Closed so, it is reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            said = b"<DeleteResult><Deleted><Key>x/a</Key></Deleted></DeleteResult>" if self.command == "POST" else b""
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_PUT = do_POST = answer  # noqa: N815 - so it is called

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        for name, value in {**settings, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}.items():
            monkeypatch.setenv(name, value)
        yield seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "request_",
    [lambda place: place.create("a", b"1"), lambda place: place.delete(["a"]), lambda place: place.put("a", b"1")],
)
def test_a_request_whose_line_breaks_is_repeated(breaking, request_):
    request_(Bucket("s3://b/x"))
    assert len(breaking) == 2


@pytest.mark.parametrize("name", ["a b", "a#b", "a%20b", "a?b", "a*[b]", "a\\b", "état", "a&b=c", "a+b", '"q"', "..."])
def test_any_name_that_a_file_has_is_a_key(place, name):
    place.put(f"x/{name}", b"1")
    assert place.get(f"x/{name}") == b"1"
    assert [entry.key for entry in place.entries("x")] == [f"x/{name}"]
    place.delete([f"x/{name}"])
    assert place.entries() == []


def test_several_threads_fetch_the_same_file(place, tmp_path, monkeypatch):
    place.put("a", b"12")
    both = threading.Barrier(2)

    def slow(self, key):
        both.wait(60)
        yield b"1"
        both.wait(60)
        yield b"2"
        both.wait(60)

    monkeypatch.setattr(Bucket, "stream", slow)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: place.fetch("a", tmp_path / "a"), range(2))) == [True, True]
    assert (tmp_path / "a").read_bytes() == b"12"


def test_parts_that_the_store_has_dropped_are_no_missing_file(place, tmp_path, monkeypatch):
    class Store:
        def put(self, *_, **__):
            raise FileNotFoundError("NoSuchUpload")

    (tmp_path / "a").write_bytes(b"1")
    monkeypatch.setattr(buckets, "store_of", lambda _: Store())
    with pytest.raises(BucketError, match="NoSuchUpload"):
        place.put("a", tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        place.put("a", tmp_path / "b")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<Code>ExpiredToken</Code>", "credentials of this machine have expired. Renew them"),
        ("<Code>RequestTimeTooSkewed</Code>", "the clock of this machine is wrong"),
        ("External AWS credential provider: E: run aws sso login.\n\nDebug", "no credentials. E: run aws sso login.$"),
        ("<Code>AccessDenied</Code>", "access is denied"),
    ],
)
def test_why_one_may_not_is_told_in_words(place, monkeypatch, said, told):
    class Store:
        def put(self, *_, **__):
            raise UnauthenticatedError(said)

    monkeypatch.setattr(buckets, "store_of", lambda _: Store())
    with pytest.raises(BucketError, match=told):
        place.put("a", b"1")


def test_an_object_is_replaced_whole(place):
    place.put("a", b"longer than the next")
    place.put("a", b"short")
    assert place.get("a") == b"short"


def test_what_is_not_there_is_none(place, tmp_path):
    assert place.get("a") is None
    assert not place.fetch("a", tmp_path / "a")
    assert list(tmp_path.glob("*a*")) == []


def test_reading_from_a_byte_on(place):
    place.put("a", b"0123456789")
    assert place.get("a", 4) == b"456789"


def test_a_file_goes_there_and_back(place, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 2**17)
    place.put("large", source)
    assert place.fetch("large", tmp_path / "deep" / "target")
    assert (tmp_path / "deep" / "target").read_bytes() == source.read_bytes()


def test_listing_is_sorted_and_says_keys_from_the_place(place):
    for key in ("b/2", "a", "b/10", "bb"):
        place.put(key, key.encode())
    (place / "b").put("sub/x", b"")
    sizes = {entry.key: entry.size for entry in place.entries()}
    assert list(sizes.items()) == [("a", 1), ("b/10", 4), ("b/2", 3), ("b/sub/x", 0), ("bb", 2)]
    assert [entry.key for entry in place.entries("b")] == ["b/10", "b/2", "b/sub/x"]
    assert (place / "b").entries()[0][:2] == ("10", 4)


def test_a_tag_changes_with_the_bytes(place):
    place.put("a", b"1")
    (before,) = place.entries()
    place.put("a", b"2")
    assert place.entries()[0].tag != before.tag
    assert before.tag


def test_names_below_which_there_are_objects(place):
    for key in ("b/2", "a", "b/sub/x"):
        place.put(key, b"")
    assert place.folders() == ["b"]


def test_removing_what_is_not_there_is_no_error(place):
    place.put("a", b"")
    place.delete(["a", "never"])
    place.delete([])
    assert place.entries() == []


def test_nor_is_it_where_a_store_makes_it_one(monkeypatch, tmp_path):
    """As Google's does, and a folder."""
    served = LocalStore(tmp_path)
    monkeypatch.setattr(buckets, "store_of", lambda _: served)
    place = Bucket("gs://models/studies")
    for key in ("a", "b"):
        place.put(key, b"")
    place.delete(["never", "a", "neither", "b"])
    assert place.entries() == []


def test_copying_within_the_store(place):
    place.put("a", b"x")
    place.copy("a", "c/a")
    assert place.get("c/a") == b"x"
    with pytest.raises(FileNotFoundError):
        place.copy("never", "c/never")


def test_a_bucket_that_is_not_there_is_told_in_words(bucket):
    missing = Bucket("s3://sweep-no-such-bucket/x")
    for use in (lambda: missing.put("a", b""), lambda: missing.get("a"), missing.entries):
        with pytest.raises(BucketError, match=r"^s3://sweep-no-such-bucket/x: there is no such bucket. Make it"):
            use()


@pytest.mark.parametrize("url", ["s3://b", "s3://b/a", "gs://b/a/c"])
def test_slashes_at_the_end_do_not_count(url):
    assert check_url(f"{url}/") == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://b/a", r"http:// is unknown. Name a folder, or s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."),
        ("s3://", "expected s3://BUCKET/FOLDER"),
        ("s3:///a", "expected s3://BUCKET/FOLDER"),
        ("gs://b//a", "with a name between each two slashes"),
        ("s3://b/../a", "with a name between each two slashes"),
    ],
)
def test_other_urls_are_refused(url, message):
    with pytest.raises(InputError, match=message):
        check_url(url)
