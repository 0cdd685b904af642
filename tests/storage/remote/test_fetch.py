"""Files elsewhere in the cache: whole or not there, the same bytes after any cut, never more than the limit."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from srcore.errors import SourceError
from srcore.storage.remote import fetch as fetching
from srcore.storage.remote.address import file_name, joined, leads_inward, shown, told_apart, words_for
from srcore.storage.remote.cache import files_folder, kept_for
from srcore.storage.remote.card import CardFile
from srcore.storage.remote.documents import read_document
from srcore.storage.remote.fetch import fetch, nothing_fetched, remember_signed
from srcore.storage.remote.items import card_of
from srcore.storage.remote.web import _refuse_way
from tests.elsewhere import Elsewhere, item

CONTENT = bytes(range(256)) * 4000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.01)


@pytest.mark.parametrize("place", ["web", "bucket"])
@pytest.mark.parametrize("fault", [["cut"], ["cut", "cut"], [500], [503, "cut"], [429]])
def test_what_is_cut_or_refused_for_a_moment_comes_whole(world: Elsewhere, place: str, fault: list[int | str]) -> None:
    address = world.put("/b/file.tif", CONTENT)
    world.faults["/b/file.tif"] = list(fault)
    kept = fetch(CardFile(address if place == "web" else "s3://b/file.tif"))
    assert (kept.sha256, kept.size) == (sha256(CONTENT), len(CONTENT))
    assert kept.path.read_bytes() == CONTENT
    assert sorted(one.name for one in kept.path.parent.iterdir()) == [".whole", "file.tif"]


def test_after_a_cut_the_rest_is_asked_for(world: Elsewhere) -> None:
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["cut"]
    fetch(CardFile(address))
    (told,) = world.ranges
    assert len(CONTENT) // 4 < int(told.removeprefix("bytes=").rstrip("-")) <= len(CONTENT) // 2


def test_the_next_process_goes_on_where_the_last_was_cut(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["cut"]
    monkeypatch.setenv("SRCORE_REMOTE_TRIES", "1")
    with pytest.raises(SourceError, match=r"cannot be fetched; found .*, one try; wait") as caught:
        fetch(CardFile(address))
    assert caught.value.code == "REMOTE_FAILED"
    assert fetch(CardFile(address)).sha256 == sha256(CONTENT)
    assert len(world.ranges) == 1


@pytest.mark.parametrize("marks", [True, False])
def test_a_file_that_changes_while_it_is_read_is_read_anew(world: Elsewhere, marks: bool) -> None:
    world.marks = marks
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["changed"]
    kept = fetch(CardFile(address))
    assert kept.sha256 == sha256(bytes(reversed(CONTENT)))


def test_a_file_that_changed_between_two_parts_is_no_mixture(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["cut"]
    monkeypatch.setenv("SRCORE_REMOTE_TRIES", "1")
    with pytest.raises(SourceError):
        fetch(CardFile(address))
    other = CONTENT[::-1]
    world.put("/file.tif", other)
    assert fetch(CardFile(address)).sha256 == sha256(other)


def test_a_server_without_parts_is_asked_for_all_again(world: Elsewhere) -> None:
    world.parts = False
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["cut"]
    assert fetch(CardFile(address)).sha256 == sha256(CONTENT)


def test_a_slow_server_is_given_up(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_REMOTE_TIMEOUT_S", "0.2")
    monkeypatch.setenv("SRCORE_REMOTE_TRIES", "1")
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["slow"]
    with pytest.raises(SourceError, match="no answer in time") as caught:
        fetch(CardFile(address))
    assert caught.value.retryable


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_REMOTE_TIMEOUT_S", "0.2")
    monkeypatch.setenv("SRCORE_REMOTE_TRIES", "1")
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = ["drip"]
    with pytest.raises(SourceError, match=r"\d bytes in 0\.\d+ s") as caught:
        fetch(CardFile(address))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "code"), [(401, "REMOTE_DENIED"), (403, "REMOTE_DENIED"), (404, "REMOTE_GONE"), (418, "REMOTE_FAILED")]
)
@pytest.mark.parametrize("place", ["web", "bucket"])
def test_what_no_other_try_changes_is_said_at_once(world: Elsewhere, place: str, status: int, code: str) -> None:
    address = world.put("/b/file.tif", CONTENT)
    world.faults["/b/file.tif"] = [status]
    with pytest.raises(SourceError) as caught:
        fetch(CardFile(address if place == "web" else "s3://b/file.tif"))
    assert (caught.value.code, caught.value.exit_code) == (code, 2)
    assert world.bytes_asked("/b/file.tif") == 1


def test_other_bytes_than_were_listed_are_refused(world: Elsewhere) -> None:
    address = world.put("/file.tif", CONTENT)
    etag = world.files["/file.tif"].etag
    good = CardFile(address, size=len(CONTENT), mark=etag, checksum=f"1220{sha256(CONTENT)}")
    assert fetch(good).sha256 == sha256(CONTENT)
    for bad, code in (
        (replace(good, size=7), "SOURCE_CHANGED"),
        (replace(good, mark='"another"'), "SOURCE_CHANGED"),
        (replace(good, checksum="d50110" + "0" * 32), "REMOTE_DAMAGED"),
    ):
        with pytest.raises(SourceError) as caught:
            fetch(bad)
        assert caught.value.code == code


def test_the_least_used_goes_first_and_what_a_run_reads_never(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_REMOTE_CACHE_GB", str(3.5 * len(CONTENT) / 1e9))
    files = [CardFile(world.put(f"/{i}.tif", CONTENT + bytes([i]))) for i in range(5)]
    with ExitStack() as run:
        for i in range(3):
            with ExitStack() as other, kept_for(run if i == 0 else other):
                folder = fetch(files[i]).path.parent
            os.utime(folder, (1000 + i, 1000 + i))
        with ExitStack() as other, kept_for(other):
            fetch(files[3])
        there = {path.name for path in files_folder().glob("*/*.tif")}
        assert there == {"0.tif", "2.tif", "3.tif"}  # 0 is the oldest, and in use
        with kept_for(run):
            for i in (2, 3):
                fetch(files[i])
            with pytest.raises(SourceError, match="does not fit") as caught:
                fetch(files[4])
        assert (caught.value.code, caught.value.retryable) == ("CACHE_FULL", True)
    with ExitStack() as other, kept_for(other):
        fetch(files[4])
    assert not any(path.name == "0.tif" for path in files_folder().glob("*/*.tif"))
    assert sum(path.stat().st_size for path in files_folder().glob("*/*.tif")) <= 3.5 * len(CONTENT)


def test_what_is_larger_than_the_cache_is_refused_before_it_comes(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_REMOTE_CACHE_GB", str(len(CONTENT) / 2e9))
    address = world.put("/file.tif", CONTENT)
    with pytest.raises(SourceError, match="it alone is larger") as caught:
        fetch(CardFile(address))
    assert caught.value.code == "CACHE_FULL"


def test_a_rotten_file_of_the_cache_is_fetched_again(world: Elsewhere) -> None:
    address = world.put("/file.tif", CONTENT)
    script = (
        "import sys; from srcore.storage.remote.fetch import fetch; from srcore.storage.remote.card import CardFile; "
        "print(fetch(CardFile(sys.argv[1])).sha256)"
    )

    def in_a_process() -> str:
        done = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert in_a_process() == sha256(CONTENT)
    (path,) = files_folder().glob("*/file.tif")
    status = path.stat()
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert in_a_process() == sha256(CONTENT)
    assert path.read_bytes() == CONTENT
    assert world.bytes_asked("/file.tif") == 2


def test_two_that_want_a_file_fetch_it_once(world: Elsewhere) -> None:
    from concurrent.futures import ThreadPoolExecutor

    address = world.put("/file.tif", CONTENT)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fetch, [CardFile(address)] * 4))
    assert {one.sha256 for one in found} == {sha256(CONTENT)}
    assert world.bytes_asked("/file.tif") == 1


def test_a_forecast_fetches_nothing(world: Elsewhere) -> None:
    file = CardFile(world.put("/file.tif", CONTENT), size=len(CONTENT))
    with nothing_fetched(), pytest.raises(SourceError, match=f"found {len(CONTENT):,} bytes") as caught:
        fetch(file)
    assert caught.value.code == "NOT_FETCHED"
    assert world.bytes_asked("/file.tif") == 0
    fetch(file)
    with nothing_fetched():
        assert fetch(file).sha256 == sha256(CONTENT)


def test_a_token_goes_to_its_host_alone(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    world.token = "WORD"
    address = world.put("/file.tif", CONTENT)
    monkeypatch.setenv("SRCORE_REMOTE_TOKENS", "other.host=WORD")
    with pytest.raises(SourceError) as caught:
        fetch(CardFile(address))
    assert caught.value.code == "REMOTE_DENIED"
    assert not any("WORD" in value for headers in world.headers for value in headers.values())
    monkeypatch.setenv("SRCORE_REMOTE_TOKENS", "other.host=NO, 127.0.0.1=WORD")
    assert fetch(CardFile(address)).sha256 == sha256(CONTENT)


def test_nothing_that_is_signed_is_written_or_said(
    world: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = world.put("/file.tif", CONTENT)
    world.faults["/file.tif"] = [503, "cut", 403]
    remember_signed(address, f"{address}?sig=SECRET")
    with pytest.raises(SourceError) as caught:
        fetch(CardFile(address))
    assert fetch(CardFile(address)).sha256 == sha256(CONTENT)
    monkeypatch.setenv("SRCORE_REMOTE_SIGN", f"127.0.0.1={world.address}/sign")
    other = world.put("/other.tif", CONTENT)
    assert fetch(CardFile(other)).sha256 == sha256(CONTENT)
    said = [str(caught.value), repr(caught.value), caplog.text]
    said += [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("SECRET" in text for text in said)


def test_a_full_disk_is_told_as_one(world: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    from srcore.errors import StoreError

    address = world.put("/file.tif", CONTENT)
    folder = files_folder()
    folder.mkdir(parents=True)
    (folder / CardFile(address).digest).write_text("no folder")
    with pytest.raises(StoreError, match="cannot be written"):
        fetch(CardFile(address))


@pytest.mark.parametrize(
    ("base", "href", "leads_to"),
    [
        ("https://h/a/item.json", "./b.tif", "https://h/a/b.tif"),
        ("https://h/a/item.json", "../b.tif?sig=1", "https://h/b.tif?sig=1"),
        ("https://h/a/item.json", "s3://b/k.tif", "s3://b/k.tif"),
        ("s3://bucket/a/item.json", "../../../b.tif", "s3://bucket/b.tif"),
        ("/data/a/item.json", "../b/c.tif", "/data/b/c.tif"),
    ],
)
def test_links_lead_on_from_where_they_stand(base: str, href: str, leads_to: str) -> None:
    assert joined(base, href) == leads_to


def test_addresses_are_shown_without_secrets_and_names_are_safe() -> None:
    assert shown("https://me:key@host:8/a%20b.tif?sig=1#x") == "https://host:8/a%20b.tif"
    assert file_name("https://host/..%2F..%2Fetc/pass wd?x") == "pass_wd"
    assert file_name("https://host/%2e%2e/") == "file"
    assert words_for("https://a.data.host/x", "data.host=W") == "W"
    assert words_for("https://evildata.host/x", "data.host=W") == ""


@pytest.mark.parametrize("place", ["web", "bucket"])
def test_a_run_that_ended_behind_the_last_byte_is_gone_on_with(world: Elsewhere, place: str) -> None:
    web = world.put("/b/file.tif", CONTENT)
    file = CardFile(web if place == "web" else "s3://b/file.tif")
    with ExitStack() as run, kept_for(run):
        path = fetch(file).path
    seen = {"size": len(CONTENT), "etag": world.files["/b/file.tif"].etag, "modified": ""}
    (path.parent / ".seen").write_text(json.dumps(seen))
    path.rename(path.parent / ".part")
    (path.parent / ".whole").unlink()
    asked = world.bytes_asked("/b/file.tif")
    with ExitStack() as run, kept_for(run):
        assert fetch(file).sha256 == sha256(CONTENT)
    assert world.bytes_asked("/b/file.tif") == asked
    (path.parent / ".whole").unlink()
    path.rename(path.parent / ".part")
    (path.parent / ".seen").write_text(json.dumps(seen))
    world.put("/b/file.tif", CONTENT[:1000])  # shorter now: there is no rest
    assert fetch(file).sha256 == sha256(CONTENT[:1000])


def test_what_no_mark_tells_from_another_content_is_fetched_from_its_start(world: Elsewhere) -> None:
    file = CardFile(world.put("/file.tif", CONTENT))
    folder = files_folder() / file.digest
    folder.mkdir(parents=True)
    (folder / ".part").write_bytes(b"another content")
    (folder / ".seen").write_text(json.dumps({"size": len(CONTENT), "etag": "", "modified": ""}))
    assert fetch(file).sha256 == sha256(CONTENT)
    assert world.ranges == []


def test_a_full_disk_is_emptied_of_what_the_cache_does_not_need(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srcore.storage.remote import cache

    old, new = (CardFile(world.put(f"/{name}.tif", CONTENT + name.encode())) for name in ("old", "new"))
    monkeypatch.setattr(cache, "free_bytes", lambda _: 2_000_000 - len(list(files_folder().glob("*/*.tif"))) * 10**6)
    with ExitStack() as run:
        with kept_for(run):
            fetch(old)
        with kept_for(run), pytest.raises(SourceError, match=r"0\.001 GB are free on its disk") as caught:
            fetch(new)
        assert caught.value.code == "CACHE_FULL"
    with ExitStack() as run, kept_for(run):
        fetch(new)
    assert [path.name for path in files_folder().glob("*/*.tif")] == ["new.tif"]


def test_what_signs_a_link_makes_no_other_file_of_it_and_all_else_does() -> None:
    plain = "https://host/get"
    signed = ["?sig=1&se=2&sp=r", "?X-Amz-Signature=1&X-Amz-Date=2", "?Expires=1&Signature=2&Key-Pair-Id=3", "?token=4"]
    assert {told_apart(plain + query) for query in signed} == {""} == {told_apart(plain)}
    first, second, again = (told_apart(f"{plain}?{query}") for query in ("id=1&sig=1", "id=2&sig=1", "sig=2&id=1"))
    assert first == again != second
    assert CardFile(plain, apart=first).digest != CardFile(plain, apart=second).digest
    assert told_apart("s3://bucket/a?b=c") == ""


@pytest.mark.parametrize(
    ("base", "place", "inward"),
    [
        ("https://host/item.json", "http://127.0.0.1/x.tif", True),
        ("https://host/item.json", "http://localhost:8080/x.tif", True),
        ("https://host/item.json", "http://169.254.169.254/latest/meta-data/", True),
        ("https://host/item.json", "http://2130706433/", True),
        ("https://host/item.json", "http://0x7f.1/", True),
        ("https://host/item.json", "http://[::ffff:127.0.0.1]/", True),
        ("https://host/item.json", "http://[::1]/", True),
        ("s3://bucket/item.json", "http://0.0.0.0/", True),
        ("https://host/item.json", "https://10.0.0.7/x.tif", False),
        ("https://host/item.json", "s3://127.0.0.1/x.tif", False),
        ("http://127.0.0.1/item.json", "http://localhost/x.tif", False),
        ("/data/item.json", "http://127.0.0.1/x.tif", False),
    ],
)
def test_a_stranger_sends_us_to_no_server_of_this_machine(base: str, place: str, inward: bool) -> None:
    assert leads_inward(base, place) is inward
    if inward and base.startswith("https"):
        answer = httpx.Response(302, headers={"Location": place}, request=httpx.Request("GET", base))
        with pytest.raises(SourceError, match="leads to this machine's own network") as caught:
            _refuse_way(answer)
        assert caught.value.code == "REMOTE_DENIED"
        (file,) = card_of(item("one", {"a": {"href": place, "roles": ["data"], "type": "image/tiff"}}), base).files
        assert (file.href, file.inward) == ("", True)


def test_an_answer_that_leads_to_a_file_or_is_packed_wrongly_is_told(world: Elsewhere) -> None:
    address = world.put("/a.json", b"no gzip")
    world.more["/a.json"] = {"Content-Encoding": "gzip"}
    with pytest.raises(SourceError, match="an answer that is packed wrongly"):
        read_document(address)
    world.more["/a.json"] = {"Location": "file:///etc/passwd"}
    world.faults["/a.json"] = [302]
    with pytest.raises(SourceError, match="to an address without https") as caught:
        read_document(address)
    assert caught.value.code == "REMOTE_DENIED"
