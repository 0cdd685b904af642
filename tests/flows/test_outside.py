"""`srcore serve --server URL`: at a Prefect server of others a service sees, changes and ends its own alone."""

from __future__ import annotations

import http.server
import importlib.metadata
import json
import shutil
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.deploy import deployments
from flows.guard import POOL
from flows.outside import client_environment, identity
from flows.service import reach
from flows.service.again import which
from flows.service.alone import alone, places, places_here, refuse_second, refuse_shared
from flows.service.notices import endless, triggers, zombies
from flows.service.reach import AUTHORITY, CLIENT_AUTH, UNCHECKED, api_of, in_the_clear, pool_of, refuse_unusable
from flows.service.runs import LABEL, ours, shared_fate
from srcore.catalog import load_catalog
from srcore.catalog.object_stores import place_of
from srcore.errors import CatalogError, SRError
from srcore.storage.disk.leases import myself
from srcore.storage.objects import leases
from tests.flows.conftest import free_port
from tests.s3 import address, server

__all__ = ["address", "server"]

FLOW = "00000000-0000-0000-0000-000000000000"
HERE = importlib.metadata.version("prefect")


@pytest.fixture
def place(address: str) -> Path:
    """What stands for an object store here."""
    return place_of(address)


@contextmanager
def answering(status: int, body: str, wait: float = 0.0, tls: Path | None = None) -> Iterator[str]:
    """The address of a server with one answer for who shows me:secret, and 401 for others."""
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(wait)
            known = self.headers["authorization"] == "Basic " + b64encode(b"me:secret").decode()
            self.send_response(status if known else 401)
            self.end_headers()
            with suppress(BrokenPipeError):  # who did not wait for it
                self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls / "tls.pem", tls / "tls.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/api"
        ended.set()
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "auth", "code", "told"),
    [
        (200, json.dumps(HERE), "me:secret", "", ""),
        (200, json.dumps(HERE), "me:wrong", "SERVER_REFUSED", f"401 with {CLIENT_AUTH}"),
        (200, json.dumps(HERE), "", "SERVER_REFUSED", f"401 without {CLIENT_AUTH}"),
        (403, "", "me:secret", "SERVER_REFUSED", "403 with"),
        (200, '"2.20.1"', "me:secret", "SERVER_VERSION", f"found 2.20.1, here {HERE}"),
        (200, '"3.9.0"', "me:secret", "SERVER_VERSION", f"found 3.9.0, here {HERE}"),
        (200, "<html>", "me:secret", "SERVER_AWAY", "no Prefect server answers there"),
        (200, "{}", "me:secret", "SERVER_AWAY", "no Prefect server answers there"),
        (404, "", "me:secret", "SERVER_AWAY", "it answers 404"),
        (503, "", "me:secret", "SERVER_AWAY", "it answers 503"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_line(status: int, body: str, auth: str, code: str, told: str) -> None:
    with answering(status, body) as api:
        if not code:
            assert refuse_unusable(api, {CLIENT_AUTH: auth}) == HERE
            return
        with pytest.raises(SRError) as caught:
            refuse_unusable(api, {CLIENT_AUTH: auth})
    assert caught.value.code == code
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_or_silent_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SRError, match="Connection refused") as caught:
        refuse_unusable(f"http://127.0.0.1:{free_port()}/api", {})
    assert caught.value.code == "SERVER_AWAY"
    monkeypatch.setattr(reach, "SECONDS", 0.2)
    with answering(200, json.dumps(HERE), wait=5) as api, pytest.raises(SRError, match="timed out") as caught:
        refuse_unusable(api, {CLIENT_AUTH: "me:secret"})
    assert caught.value.code == "SERVER_AWAY"


def test_a_server_with_a_certificate_of_its_own_authority_is_known_as_prefects_client_knows_it(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    script = Path(__file__).parents[2] / "infra" / "certificates.sh"
    subprocess.run(["sh", script, tmp_path], check=True, stdout=subprocess.DEVNULL)
    auth, authority = {CLIENT_AUTH: "me:secret"}, str(tmp_path / "ca.pem")
    with answering(200, json.dumps(HERE), tls=tmp_path) as api:
        assert refuse_unusable(api, {**auth, AUTHORITY: authority}) == HERE
        assert refuse_unusable(api, {**auth, UNCHECKED: "true"}) == HERE
        with pytest.raises(SRError, match=f"CERTIFICATE_VERIFY_FAILED.*{AUTHORITY}") as caught:
            refuse_unusable(api, auth)
        assert caught.value.code == "SERVER_AWAY"
        for wrong in (tmp_path / "nowhere.pem", script):
            with pytest.raises(CatalogError, match=f"{AUTHORITY} is no file of certificates") as caught:
                refuse_unusable(api, {**auth, AUTHORITY: str(wrong)})
            assert caught.value.code == "BAD_SETTING"


def test_the_address_is_that_of_the_server_or_of_its_api_and_holds_no_password() -> None:
    for given in ("http://prefect:4200", "http://prefect:4200/", "http://prefect:4200/api", "http://prefect:4200/api/"):
        assert api_of(given) == "http://prefect:4200/api"
    assert api_of("https://ops.example/prefect/api") == "https://ops.example/prefect/api"
    for wrong in (
        "prefect:4200",
        "ftp://prefect",
        "http://",
        "http://a:b@prefect",
        "http://prefect:99999",
        "http://p?x=1",
    ):
        with pytest.raises(CatalogError) as caught:
            api_of(wrong)
        assert caught.value.code == "BAD_SERVER"
        assert "a:b" not in str(caught.value)


def test_of_an_object_store_each_machine_may_have_a_service_and_of_a_folder_one(
    place: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(host: str) -> tuple[Path, ...]:
        monkeypatch.setattr("socket.gethostname", lambda: host)
        return places_here(place, place / ".prefect")

    with alone(on("one"), "http://prefect:4200"), alone(on("other"), "http://prefect:4200"):
        for host in ("one", "other"):
            with pytest.raises(CatalogError, match=rf"{address} is served already; found pid .* http://prefect:4200"):
                refuse_second(on(host))
        refuse_second(on("third"))
    assert places_here(tmp_path, tmp_path / ".prefect") == places(tmp_path, tmp_path / ".prefect")


def test_a_pool_is_named_by_host_unless_somebody_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "GPU_01.example")
    assert pool_of(None) == "srcore-gpu-01-example"
    assert pool_of("alps") == "alps"
    for wrong in ("", "Alps", "a/b", "a b", "-a", "ä", "a" * 62, "prefect-pool"):
        with pytest.raises(CatalogError, match="work pool"):
            pool_of(wrong)


def test_a_password_in_the_clear_is_said() -> None:
    with_password = {CLIENT_AUTH: "me:secret"}
    assert "in the clear" in in_the_clear("http://prefect:4200/api", with_password)
    for api, environ in (
        ("https://prefect/api", with_password),
        ("http://127.0.0.1:4200/api", with_password),
        ("http://prefect:4200/api", {}),
    ):
        assert in_the_clear(api, environ) == ""


def test_what_the_user_set_is_kept_the_address_and_the_pool_excepted(tmp_path: Path) -> None:
    given = {"PREFECT_HOME": "/elsewhere", "PREFECT_API_URL": "http://other/api", POOL: "other"}
    made = client_environment(tmp_path, "http://prefect:4200/api", "alps", given)
    assert (made["PREFECT_HOME"], made["PREFECT_API_URL"], made[POOL]) == (
        "/elsewhere",
        "http://prefect:4200/api",
        "alps",
    )


def test_two_catalogs_on_one_server_have_nothing_in_common(catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = load_catalog(catalog_path)
    seen = []
    for pool in ("alps", "jura"):
        monkeypatch.setenv(POOL, pool)
        made = deployments(catalog_path, catalog)
        assert [one.name for one in made] == [f"hills@{pool}", f"on-demand@{pool}", f"by-hand@{pool}"]
        assert all(f"pool:{pool}" in one.tags for one in made)
        assert ours().tags is not None
        assert ours().tags.all_ == ["srcore", f"pool:{pool}"]
        for one in (zombies(), endless(5)):
            assert f"prefect.tag.pool:{pool}" in str(one.trigger.match_related)
        told = triggers()
        assert f"by-hand@{pool}" in str(told.pop("srcore: the worker is missing").match)
        assert all("'work-pool'" in str(one.match_related) and pool in str(one.match_related) for one in told.values())
        seen.append({(one.flow_name, one.name) for one in made} | {zombies().name, endless(5).name})
    assert not seen[0] & seen[1]
    assert identity(catalog).endswith(f":{catalog.shown_store}")


def a_run(state: StateType, seconds: float = 0.0, pid: str | None = None, **labels: str) -> FlowRun:
    when = datetime.now(UTC) - timedelta(seconds=seconds)
    return FlowRun(flow_id=FLOW, state=State(type=state, timestamp=when), labels=labels, infrastructure_pid=pid)


def test_of_a_shared_server_only_runs_of_dead_processes_of_this_machine_are_closed() -> None:
    here = myself()

    def signed(**changed: Any) -> FlowRun:
        return a_run(StateType.RUNNING, **{LABEL: json.dumps(asdict(replace(here, **changed)))})

    assert shared_fate(signed()) == "alive"
    assert shared_fate(signed(started=here.started - 5000)) == "dead"
    assert shared_fate(signed(host="other", space="other boot pid:[1]")) == "elsewhere"
    host, _, *rest = here.space.split()
    # another machine of the same name, as localhost: on a server of its own it could only be this one, restarted
    assert shared_fate(signed(space=" ".join([host, "another-boot", *rest]))) == "elsewhere"
    assert shared_fate(a_run(StateType.RUNNING)) == "elsewhere"
    assert shared_fate(a_run(StateType.PENDING, 30)) == "elsewhere"  # another machine's, which is starting
    assert shared_fate(a_run(StateType.PENDING, 700, "4711")) == "dead"
    assert shared_fate(a_run(StateType.PENDING, 700, "cluster:srcore:job-1")) == "elsewhere"  # a pod waits for a GPU


def test_a_crashed_night_counts_how_often_it_was_begun_again() -> None:
    run = a_run(StateType.CRASHED)
    assert which(run) == (0, str(run.id))
    assert which(run.model_copy(update={"idempotency_key": "scheduled 1 2026-11-26"})) == (0, str(run.id))
    assert which(run.model_copy(update={"idempotency_key": f"srcore-again/2/{FLOW}"})) == (2, FLOW)


@pytest.mark.parametrize("arguments", [("--pool", "alps"), ("--server", "http://127.0.0.1:4200", "--port", "4300")])
def test_options_that_mean_nothing_together_are_refused(
    arguments: tuple[str, ...], srcore: Callable[..., tuple[int, str, str]], catalog_path: Path
) -> None:
    assert srcore("serve", "--catalog", catalog_path, *arguments)[0] == 2


def test_a_worker_without_a_certificate_is_told_in_one_line(srcore: Callable[..., tuple[int, str, str]]) -> None:
    code, _, told = srcore("worker", "tls://127.0.0.1:1")
    assert code == 2
    assert ".worker.cert" in told
    assert "[NO_TLS]" in told


def test_a_server_of_its_own_refuses_an_object_store_that_another_machine_serves(address: str) -> None:
    store = place_of(address)
    refuse_shared(store)
    lease = store / ".serve" / "other" / "lease.json"
    assert leases.put_if_absent(lease, replace(myself(), host="other", space="other"))
    with pytest.raises(CatalogError) as found:
        refuse_shared(store)
    told = str(found.value)
    assert (found.value.code, "\n" in told) == ("SERVED_ALREADY", False)
    assert f"{address} is served already" in told
    assert "on other" in told
    assert "srcore serve --server URL" in told
    leases.remove(lease)
    refuse_shared(store)
