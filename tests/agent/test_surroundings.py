# SPDX-License-Identifier: MIT
"""Container, cloud and distribution, from variables and files alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from running import Running

import errtrack
from errtrack import surroundings
from errtrack.surroundings import detect, distribution

ID = "0123456789abcdef" * 4


def root(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    "line",
    [
        "11:memory:/docker/%s",
        "0::/system.slice/docker-%s.scope",
        "1:name=systemd:/kubepods/burstable/pod3f1b/%s",
        "0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-%s.scope",
    ],
)
def test_container_id_from_the_control_group(tmp_path: Path, line: str) -> None:
    place = root(tmp_path, {"/proc/self/cgroup": "5:cpu:/\n" + line % ID + "\n", "/.dockerenv": ""})
    assert detect({}, place) == {"container": {"type": "container", "id": ID, "runtime": "docker"}}


def test_container_id_from_the_mounts_where_groups_say_nothing(tmp_path: Path) -> None:
    mount = "623 600 254:1 /var/lib/docker/containers/%s/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
    other = "601 600 254:1 /var/lib/docker/overlay2/%s/merged / rw - overlay overlay rw\n" % ("f" * 64)
    place = root(tmp_path, {"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": other + mount % ID})
    assert detect({}, place)["container"]["id"] == ID


def test_kubernetes(tmp_path: Path) -> None:
    place = root(tmp_path, {"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "shop\n"})
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "web-7d4b9-x2x", "NODE_NAME": "n1"}
    assert detect(environ, place)["container"] == {
        "type": "container", "orchestrator": "kubernetes", "k8s.pod.name": "web-7d4b9-x2x",
        "k8s.namespace.name": "shop", "k8s.node.name": "n1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"ECS_CONTAINER_METADATA_URI_V4": "x", "AWS_REGION": "eu-west-1"}, ("aws", "aws_ecs", "eu-west-1")),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_DEFAULT_REGION": "us-east-2"},
            ("aws", "aws_lambda", "us-east-2"),
        ),
        ({"K_SERVICE": "s", "GOOGLE_CLOUD_PROJECT": "p"}, ("gcp", "gcp_cloud_run", None)),
        (
            {"WEBSITE_SITE_NAME": "s", "REGION_NAME": "West Europe"},
            ("azure", "azure_app_service", "West Europe"),
        ),
        ({"DYNO": "web.1"}, ("heroku", "heroku", None)),
        ({"FLY_APP_NAME": "a", "FLY_REGION": "ams"}, ("fly", "fly", "ams")),
    ],
)
def test_cloud_from_variables(tmp_path: Path, environ: dict[str, str], expected: tuple[str, ...]) -> None:
    cloud = detect(environ, str(tmp_path))["cloud_resource"]
    assert (cloud["cloud.provider"], cloud["cloud.platform"], cloud.get("cloud.region")) == expected
    assert cloud.get("cloud.account.id") == environ.get("GOOGLE_CLOUD_PROJECT")


def test_cloud_from_the_firmware(tmp_path: Path) -> None:
    files = {"sys_vendor": "Amazon EC2\n", "board_asset_tag": "i-0abc\n", "product_name": "t3.micro\n"}
    place = root(tmp_path, {"/sys/class/dmi/id/" + name: text for name, text in files.items()})
    assert detect({}, place)["cloud_resource"] == {
        "type": "cloud_resource", "cloud.provider": "aws", "cloud.platform": "aws_ec2", "host.id": "i-0abc",
        "host.type": "t3.micro",
    }  # fmt: skip


@pytest.mark.parametrize("vendor", ["Microsoft Corporation", "Google", "Dell Inc."])
def test_a_desk_computer_is_no_cloud(tmp_path: Path, vendor: str) -> None:
    files = {"/sys/class/dmi/id/sys_vendor": vendor, "/sys/class/dmi/id/product_name": "Surface"}
    assert detect({}, root(tmp_path, files)) == {}


def test_nothing_known_is_nothing_said(tmp_path: Path) -> None:
    assert detect({}, str(tmp_path)) == {}
    assert distribution(str(tmp_path)) == {}


def test_distribution(tmp_path: Path) -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\njunk\n'
    assert distribution(root(tmp_path, {"/etc/os-release": text})) == {
        "distribution_name": "debian",
        "distribution_version": "12",
        "distribution_pretty_name": "Debian GNU/Linux 12 (bookworm)",
    }


def test_damaged_files_are_survived(tmp_path: Path) -> None:
    place = root(tmp_path, {"/proc/self/cgroup": "\0:::///\n::", "/etc/os-release": "=\n=x\n"})
    (tmp_path / "proc/self/mountinfo").mkdir()
    assert detect({}, place) == {}
    assert distribution(place) == {}


def test_events_carry_what_was_found_and_no_connection_is_made(
    running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("DYNO", "web.1")
    for name, _, _ in surroundings.PLATFORMS:
        if name != "DYNO":
            monkeypatch.delenv(name, raising=False)
    running.start(dist="build 5", server_name="box")
    errtrack.capture_message("x")
    event = running.event()
    assert event["contexts"]["cloud_resource"]["cloud.provider"] == "heroku"
    assert event["contexts"]["device"]["processor_count"] >= 1
    assert (event["dist"], event["server_name"]) == ("build-5", "box")
