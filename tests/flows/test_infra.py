"""What lies in infra/ is well-formed by the judges of each format, and calls commands and variables that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.guard import AUTH
from flows.service.reach import CLIENT_AUTH
from srcore.catalog import load_catalog
from srcore.settings import PREFIX, Settings

INFRA = Path(__file__).parent.parent.parent / "infra"
UNITS = [INFRA / "srcore.service", *sorted((INFRA / "systemd").glob("*.service"))]
COMPOSE = INFRA / "compose" / "compose.yaml"
MANIFESTS = sorted(
    path
    for path in (INFRA / "kubernetes").glob("*.yaml")
    if path.name not in ("kustomization.yaml", "data_catalog.yaml")
)


def judge(*command: str | Path) -> None:
    """Run a validator of the environment of the tests; skip by name where it is not there."""
    program = shutil.which(Path(sys.executable).parent / command[0]) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    judged = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_the_compose_file_is_one_by_its_schema() -> None:
    judge("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_dockerfile_has_no_faults_that_hadolint_knows() -> None:
    judge("hadolint", "--strict-labels", INFRA / "Dockerfile")


def test_all_yaml_is_tidy() -> None:
    judge("yamllint", "--strict", "-c", INFRA / ".yamllint.yaml", INFRA)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_each_manifest_is_one_of_its_kind(path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for document in documents:
        validate(document, "1.32", strict=True)


def test_kustomize_builds_them_with_the_secrets_of_the_example(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None or shutil.which("openssl") is None:
        pytest.skip("kubectl or openssl is not installed")
    folder = shutil.copytree(INFRA / "kubernetes", tmp_path / "kubernetes")
    for name in ("secrets.env", "store.env"):
        shutil.copy(folder / f"{name}.example", folder / name)
    subprocess.run([INFRA / "certificates.sh", folder / "tls", "dask-scheduler"], check=True, capture_output=True)
    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True, timeout=60)
    documents = list(yaml.safe_load_all(built.stdout))
    assert {one["metadata"].get("namespace") for one in documents if one["kind"] != "Namespace"} == {"srcore"}
    assert len([one for one in documents if one["kind"] == "Deployment"]) == 6
    images = set(re.findall(r"image: (\S+)", built.stdout))
    assert images == {"srcore:0.2.0", "postgres:17.6-bookworm"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_each_unit_is_one_that_systemd_takes(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "program"  # it looks whether it is there
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = re.sub(r"ExecStart=\S+", f"ExecStart={program}", path.read_text())
    name = path.name.replace("@.", "@0.")
    (tmp_path / name).write_text(text)
    judged = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", tmp_path / name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    faults = [line for line in judged.stderr.splitlines() if name in line]
    assert faults == []


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of srcore that a file of infra/ starts: (file, arguments)."""
    for path in UNITS:
        program, *arguments = re.findall(r"ExecStart=(.*)", path.read_text())[0].split()
        if program.endswith("/srcore"):
            yield path.name, arguments
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        if service.get("image") == "srcore:0.2.0" and "entrypoint" not in service:
            yield f"compose {name}", service["command"]
    for container in containers():
        if container["image"] == "srcore" and "command" not in container:
            yield container["name"], container["args"]


def containers() -> list[dict[str, Any]]:
    """Those of all manifests."""
    documents = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]
    return [one for document in documents for one in _containers(document)]


def _containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    return list(document["spec"]["template"]["spec"]["containers"]) if "template" in document.get("spec", {}) else []


def test_they_start_commands_with_options_that_there_are() -> None:
    found = list(commands())
    assert len(found) == 11
    for where, arguments in found:
        assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, where


def test_they_set_variables_that_there_are() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {"SRCORE_SERVER"}
    known |= {"SRCORE_DATA", "SRCORE_NIGHT"}
    for path in INFRA.rglob("*"):
        if path.is_file() and path.suffix not in (".md", ".json"):
            found = set(re.findall(r"\bSRCORE_[A-Z_]+\b", path.read_text()))
            assert found <= known, path


def test_every_service_has_a_check_limits_and_no_root() -> None:
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        assert "healthcheck" in service or name == "bucket", name
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        if service.get("image") == "srcore:0.2.0":
            assert service["user"] == "10001", name
            assert service["read_only"], name
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            for container in _containers(document):
                assert document["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
                assert {"cpu", "memory"} <= set(container["resources"]["limits"])
                assert "livenessProbe" in container


def test_no_scheduler_shows_its_logs_to_all() -> None:
    """Dask's pages have no TLS, and without an address they are open on every interface, also by --no-dashboard."""
    files = [*(path for path in INFRA.rglob("*") if path.is_file()), INFRA.parent / "docs" / "cluster.md"]
    lines = [
        line for path in files for line in path.read_text().splitlines() if "scheduler" in line and "--host" in line
    ]
    started = [line for line in lines if "8786" in line or "DASK_PORT" in line]
    assert len(started) == 5
    assert all(re.search(r'--dashboard-address[", ]+127\.0\.0\.1:0', line) for line in started)


def test_no_password_stands_in_a_file() -> None:
    text = COMPOSE.read_text()
    assert set(re.findall(r"PASSWORD[\"']?: (\S+)", text)) <= {
        '"${POSTGRES_PASSWORD:?set',
        '"${S3_PASSWORD}",',
        '"${S3_PASSWORD}"}',
        "${GRAFANA_PASSWORD:?set",
    }
    for path in MANIFESTS:
        assert "kind: Secret" not in path.read_text()


def test_prefect_loads_the_deployments_and_finds_the_flows() -> None:
    from prefect.cli.deploy._config import _load_deploy_configs_and_actions
    from prefect.flows import load_flow_from_entrypoint
    from rich.console import Console

    console = Console(record=True, quiet=True)
    deployments, actions = _load_deploy_configs_and_actions(INFRA / "prefect.yaml", console=console)
    assert console.export_text() == ""
    assert actions["pull"] == []
    assert [one["name"] for one in deployments] == ["my-dataset", "my-dataset-pod", "by-hand"]
    for one in deployments:
        flow = load_flow_from_entrypoint(one["entrypoint"])
        assert set(one["parameters"]) <= set(flow.parameters.properties)
        assert one["tags"][0] == "srcore"
    assert {one["work_pool"]["name"] for one in deployments} == {"srcore", "srcore-pods"}


def test_a_night_in_a_pod_is_a_job_that_kubernetes_takes() -> None:
    """The pool's template with its own values and those of prefect.yaml, as a worker of Prefect fills it in."""
    jsonschema, judged = pytest.importorskip("jsonschema"), pytest.importorskip("kubernetes_validate")
    from prefect.server.schemas.actions import WorkPoolCreate
    from prefect.utilities.templating import apply_values

    template = json.loads((INFRA / "kubernetes" / "pool.json").read_text())
    WorkPoolCreate(name="srcore-pods", type="kubernetes", base_job_template=template)
    deployments = yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]
    [given] = [one["work_pool"]["job_variables"] for one in deployments if one["work_pool"]["name"] == "srcore-pods"]
    variables = template["variables"]
    jsonschema.validate(given, {**variables, "additionalProperties": False})
    defaults = {name: value["default"] for name, value in variables["properties"].items() if "default" in value}
    run = {"name": "quick-fox", "labels": {"prefect.io/flow-run-id": "1"}}
    run |= {
        "command": ["prefect", "flow-run", "execute"],
        "env": [{"name": "PREFECT_API_URL", "value": "http://a/api"}],
    }
    job = apply_values(template["job_configuration"]["job_manifest"], {**defaults, **given, **run})
    judged.validate(job, "1.32", strict=True)
    [serve] = [one for one in yaml.safe_load_all((INFRA / "kubernetes" / "serve.yaml").read_text())]
    pod, beside = job["spec"]["template"]["spec"], serve["spec"]["template"]["spec"]
    same = ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "volumes")
    assert [pod[name] for name in same] == [beside[name] for name in same]
    [night], [service] = pod["containers"], beside["containers"]
    same = ("envFrom", "securityContext", "resources", "volumeMounts")
    assert [night[name] for name in same] == [service[name] for name in same]
    assert job["spec"]["template"]["metadata"]["labels"] == serve["spec"]["template"]["metadata"]["labels"]
    assert night["command"] == ["env"]  # the image's own command is srcore


@pytest.mark.parametrize("path", [INFRA / "compose", INFRA / "kubernetes"], ids=lambda path: path.name)
def test_the_catalogs_of_the_examples_are_good(path: Path) -> None:
    assert load_catalog(path / "data_catalog.yaml").shown_store == "s3://archive/sr"


@pytest.mark.slow
def test_slurm_gets_a_job_with_the_environment_of_a_worker(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = subprocess.run([INFRA / "certificates.sh", tmp_path], capture_output=True, text=True, check=True)
    assert "for 365 days and DNS:localhost,IP:127.0.0.1" in made.stdout
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    never = {**os.environ, "DAYS": "0"}
    refused = subprocess.run([INFRA / "certificates.sh", tmp_path / "b"], capture_output=True, text=True, env=never)
    assert refused.returncode != 0
    assert "days" in refused.stderr  # in openssl's own words
    told = subprocess.run(
        [sys.executable, INFRA / "slurm" / "workers.py", "--show", "--gpu", "--cores", "6"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**tls(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(INFRA.parent)},
    )
    assert told.returncode == 0, told.stderr
    for wanted in (
        "#SBATCH --gres=gpu:1",
        "#SBATCH --cpus-per-task=6",
        "export OMP_NUM_THREADS=1",
        "export MALLOC_MMAP_MAX_=0",
        "--resources GPU=1",
        "--dashboard-address 127.0.0.1:0",
        "--nthreads 1",
        f"--tls-key {tmp_path / 'tls.key'}",
    ):
        assert wanted in told.stdout
    assert subprocess.run(["sh", "-n", INFRA / "slurm" / "worker.sbatch"]).returncode == 0


def tls(folder: Path) -> dict[str, str]:
    """What Dask reads where its certificates are."""
    name = "DASK_DISTRIBUTED__COMM__TLS__"
    roles = ("SCHEDULER", "WORKER", "CLIENT")
    pairs = {f"{name}{role}__CERT": str(folder / "tls.pem") for role in roles}
    keys = {f"{name}{role}__KEY": str(folder / "tls.key") for role in roles}
    return {f"{name}CA_FILE": str(folder / "ca.pem"), **pairs, **keys}


def test_the_readme_names_the_files_and_the_passwords_by_their_names() -> None:
    text = (INFRA / "README.md").read_text()
    assert AUTH in text
    assert CLIENT_AUTH in text
    assert set(re.findall(r"[\w@-]+\.service", text)) <= {path.name for path in UNITS}
    for named in re.findall(r"`((?:compose|kubernetes|slurm|systemd)/[\w./@-]*)`", text):
        assert (INFRA / named).exists(), named
