"""The fleet with Compose and with Kubernetes: linted, and every command line and configuration in it is one that fastscp takes."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.balancer import needed as haproxy_needed

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "docs" / "examples" / "fleet"
KUBERNETES = sorted((FLEET / "kubernetes").glob("*.yaml"))
BINARIES = Path(sys.executable).parent
#: lines may be as long as those of other documents
LINT = "{extends: default, rules: {line-length: {max: 150}, document-start: disable, comments: {min-spaces-from-content: 1}}}"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for path in KUBERNETES for document in documents(path) if document["kind"] == kind]


COMPOSE = documents(FLEET / "compose.yaml")[0]
GATEWAYS = {name: service for name, service in COMPOSE["services"].items() if name.startswith("gateway")}
(STATEFUL,) = of_kind("StatefulSet")
POD = STATEFUL["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
TOML = of_kind("ConfigMap")[0]["data"]["fastscp.toml"]


def checked(directory: Path, *arguments: str) -> None:
    """Have fastscp look at a command line as it does at a start."""
    (directory / "received").mkdir()
    (directory / "state").mkdir()
    done = subprocess.run([sys.executable, "-m", "fastscp", *arguments, "--check-config"], capture_output=True, text=True, check=False,
                          cwd=directory, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "the configuration is good" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def lint(program: str, *arguments: object) -> None:
    assert (BINARIES / program).exists(), f"{program} belongs to the extra of the tests"
    done = subprocess.run([BINARIES / program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- linted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [FLEET / "compose.yaml", *KUBERNETES], ids=lambda path: path.name)
def test_yaml_is_clean(path: Path) -> None:
    lint("yamllint", "--strict", "-d", LINT, path)


def test_compose_file_follows_its_schema() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FLEET / "compose.yaml")


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_manifests_follow_the_schemas_of_kubernetes(path: Path) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.fail("kubernetes-validate belongs to the extra of the tests")
    import kubernetes_validate

    for document in documents(path):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.slow
def test_haproxy_takes_its_configuration() -> None:
    done = subprocess.run([haproxy_needed(), "-c", "-f", FLEET / "haproxy.cfg"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# -- what fastscp is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATEWAYS)
def test_command_lines_are_such(tmp_path: Path, name: str) -> None:
    command = GATEWAYS[name]["command"].replace("$$", "$")
    checked(tmp_path, *shlex.split(command))


def test_configuration_is_such(tmp_path: Path) -> None:
    assert TOML.count("/var/lib/fastscp") == 2
    file = tmp_path / "fastscp.toml"
    file.write_text(TOML.replace("/var/lib/fastscp", str(tmp_path)), encoding="utf-8")
    checked(tmp_path, "--config", str(file))


def test_an_option_that_does_not_exist_would_be_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        checked(tmp_path, *shlex.split(GATEWAYS["gateway1"]["command"].replace("--min-free", "--minimum-free")))


def option(command: str, name: str) -> str:
    words = shlex.split(command)
    return words[words.index(name) + 1]


# -- that belongs together ------------------------------------------------------------------------------------


def test_gateways_of_compose_are_the_same_but_for_their_disks() -> None:
    assert len(GATEWAYS) == 3
    assert len({str({**service, "volumes": 0, "hostname": 0}) for service in GATEWAYS.values()}) == 1
    assert {service["volumes"][0] for service in GATEWAYS.values()} == {f"{name}:/var/lib/fastscp" for name in GATEWAYS}
    assert {service["hostname"] for service in GATEWAYS.values()} == set(GATEWAYS)


def test_haproxy_knows_every_gateway_and_gateways_believe_it_alone() -> None:
    text = (FLEET / "haproxy.cfg").read_text(encoding="utf-8")
    command = GATEWAYS["gateway1"]["command"]
    assert re.findall(r"^ +server (\S+) (\S+)$", text, flags=re.MULTILINE) == [
        (name, f"{name}:{shlex.split(command)[-1]}") for name in GATEWAYS]
    assert "send-proxy-v2" in text
    assert option(command, "--proxy-protocol") == COMPOSE["services"]["haproxy"]["networks"]["dicom"]["ipv4_address"]
    (published,) = COMPOSE["services"]["haproxy"]["ports"]
    assert f"bind :{published.split(':')[1]}\n" in text


def test_database_of_compose_is_the_one_that_gateways_use() -> None:
    postgres, gateway = COMPOSE["services"]["postgres"]["environment"], GATEWAYS["gateway1"]
    assert option(gateway["command"], "--state") == f"postgresql://{postgres['POSTGRES_USER']}@postgres/{postgres['POSTGRES_DB']}"
    assert gateway["environment"]["PGPASSWORD"] == postgres["POSTGRES_PASSWORD"]
    assert COMPOSE["networks"]["shared"]["internal"] is True
    assert COMPOSE["services"]["postgres"]["networks"] == ["shared"]


def test_store_of_compose_is_the_one_that_gateways_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started before gateways are, and its bucket is made."""
    services, command = COMPOSE["services"], GATEWAYS["gateway1"]["command"]
    bucket = services["bucket"]
    interpreter, _, program = bucket["entrypoint"]
    assert f"python3 -m venv {Path(interpreter).parents[1]} " in (ROOT / "Containerfile").read_text(encoding="utf-8")
    asked = _bucket_that_is_made(program, monkeypatch)
    assert option(command, "--object-store").split("/")[:3] == ["s3:", "", asked["Bucket"]]
    assert option(command, "--object-store-endpoint") == asked["endpoint_url"]
    assert re.fullmatch(r"http://(\w+):\d+", asked["endpoint_url"])[1] in services  # type: ignore[index]
    assert GATEWAYS["gateway1"]["depends_on"]["bucket"]["condition"] == "service_completed_successfully"
    assert bucket["depends_on"]["store"]["condition"] == "service_healthy"
    assert services["store"]["networks"] == bucket["networks"] == ["shared"]
    assert set(bucket["networks"]) <= set(GATEWAYS["gateway1"]["networks"])
    assert bucket["build"] == GATEWAYS["gateway1"]["build"]
    assert bucket["environment"].items() <= GATEWAYS["gateway1"]["environment"].items()


def _bucket_that_is_made(program: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run a program that makes a bucket; return what it asks for."""
    import botocore.session

    asked: dict[str, str] = {}

    class Client:
        def create_bucket(self, **values: str) -> None:
            asked.update(values)

    class Session:
        def create_client(self, _service: str, _region: str, **values: str) -> Client:
            asked.update(values)
            return Client()

    monkeypatch.setattr(botocore.session, "get_session", Session)
    exec(program, {})
    return asked


def test_pods_reach_their_store_with_keys_of_a_secret() -> None:
    import tomli

    told = tomli.loads(TOML)
    assert told["object-store"].startswith("s3://")
    endpoint = urlsplit(told["object-store-endpoint"])
    (policy,) = of_kind("NetworkPolicy")
    ways = [rule for rule in policy["spec"]["egress"] if any("ipBlock" in peer for peer in rule["to"])]
    assert [port["port"] for rule in ways for port in rule["ports"]] == [endpoint.port or 443]
    assert endpoint.scheme == "https"
    keys = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in CONTAINER["env"] if "valueFrom" in entry}
    assert set(keys) == {"PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    text = (FLEET / "README.md").read_text(encoding="utf-8")
    for secret in keys.values():
        assert re.search(rf"create secret generic {secret['name']} .*--from-literal={secret['key']}=", text)


def test_extras_are_such() -> None:
    from configparser import ConfigParser

    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = set(setup["options.extras_require"])
    assert {"fleet", "metrics", "s3"} == set(GATEWAYS["gateway1"]["build"]["args"]["EXTRAS"].split(",")) <= known
    (built,) = re.findall(r"--build-arg EXTRAS=(\S+)", (FLEET / "README.md").read_text(encoding="utf-8"))
    assert {"fleet", "metrics", "s3"} == set(built.split(","))
    (default,) = re.findall(r"^ARG EXTRAS=(.*)$", (ROOT / "Containerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {"fleet", "metrics", "s3"} < set(default.split(",")) <= known


def test_there_is_time_for_a_drain() -> None:
    """Once for the associations and once for the hooks, after the pause in which balancers hear of it."""
    drain = int(re.findall(r"^drain-timeout = (\d+)$", TOML, flags=re.MULTILINE)[0])
    sleep = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > sleep + 2 * drain + 15
    assert float(GATEWAYS["gateway1"]["stop_grace_period"].removesuffix("s")) > 2 * drain + 15


def test_probes_ask_what_the_configuration_serves() -> None:
    from fastscp.monitor import routes

    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert f'metrics = "0.0.0.0:{ports["metrics"]}"' in TOML
    assert f"port = {ports['dicom']}\n" in TOML
    served = Path(str(routes.__file__)).read_text(encoding="utf-8")
    probes = [CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"]
    assert all(f'"{probe["path"]}"' in served and probe["port"] == "metrics" for probe in probes)


def test_pods_have_no_rights() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["automountServiceAccountToken"] is False
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert f"USER {POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}" in text
    for container in (CONTAINER, *POD["initContainers"]):
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_names_and_labels_lead_to_the_gateways() -> None:
    labels = STATEFUL["spec"]["template"]["metadata"]["labels"]
    services = of_kind("Service")
    assert {service["metadata"]["name"] for service in services} == {"fastscp", STATEFUL["spec"]["serviceName"]}
    assert [service["metadata"]["name"] for service in services if service["spec"].get("clusterIP") == "None"] == [
        STATEFUL["spec"]["serviceName"]]
    named = {port["name"] for port in CONTAINER["ports"]}
    assert all(port["targetPort"] in named for service in services for port in service["spec"]["ports"])
    selectors = [STATEFUL["spec"]["selector"]["matchLabels"], *(service["spec"]["selector"] for service in services),
                 of_kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
                 of_kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert POD["volumes"][0]["configMap"]["name"] == of_kind("ConfigMap")[0]["metadata"]["name"]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]} | {
        claim["metadata"]["name"] for claim in STATEFUL["spec"]["volumeClaimTemplates"]}
    allowed = {port["port"] for rule in of_kind("NetworkPolicy")[0]["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == {port["containerPort"] for port in CONTAINER["ports"]}


def test_no_password_is_in_a_file() -> None:
    assert of_kind("Secret") == []
    assert "${POSTGRES_PASSWORD:?}" in COMPOSE["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
    for service in (*GATEWAYS.values(), COMPOSE["services"]["bucket"]):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert service["environment"][name] == f"${{{name}:?}}"
    assert not re.search(r"postgresql://[^@/\s]*:", TOML + (FLEET / "compose.yaml").read_text(encoding="utf-8"))
