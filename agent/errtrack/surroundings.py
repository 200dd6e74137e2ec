# SPDX-License-Identifier: MIT
"""Tells in which container and at which cloud a process runs, from variables and files alone.

A metadata server is never asked: its address is a trap where there is none, and a secret where there is one.
https://opentelemetry.io/docs/specs/semconv/resource/ has the names.
"""

from __future__ import annotations

import os
from _io import FileIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Table = dict[str, str]

#: A variable that only this platform sets -> provider, platform. The first that is set counts.
PLATFORMS: tuple[tuple[str, str, str], ...] = (
    ("AWS_LAMBDA_FUNCTION_NAME", "aws", "aws_lambda"),
    ("ECS_CONTAINER_METADATA_URI_V4", "aws", "aws_ecs"),
    ("ECS_CONTAINER_METADATA_URI", "aws", "aws_ecs"),
    ("ELASTIC_BEANSTALK_ENVIRONMENT_NAME", "aws", "aws_elastic_beanstalk"),
    ("AWS_APP_RUNNER_SERVICE_ARN", "aws", "aws_app_runner"),
    ("FUNCTION_TARGET", "gcp", "gcp_cloud_functions"),
    ("K_SERVICE", "gcp", "gcp_cloud_run"),
    ("CLOUD_RUN_JOB", "gcp", "gcp_cloud_run"),
    ("GAE_SERVICE", "gcp", "gcp_app_engine"),
    ("FUNCTIONS_WORKER_RUNTIME", "azure", "azure_functions"),
    ("WEBSITE_SITE_NAME", "azure", "azure_app_service"),
    ("CONTAINER_APP_NAME", "azure", "azure_container_apps"),
    ("DYNO", "heroku", "heroku"),
    ("FLY_APP_NAME", "fly", "fly"),
    ("RENDER_SERVICE_ID", "render", "render"),
    ("RAILWAY_SERVICE_ID", "railway", "railway"),
    ("VERCEL", "vercel", "vercel"),
)

_REGIONS = {
    "aws": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "gcp": ("GOOGLE_CLOUD_REGION", "FUNCTION_REGION"),
    "azure": ("REGION_NAME",),
    "fly": ("FLY_REGION",),
    "vercel": ("VERCEL_REGION",),
    "railway": ("RAILWAY_REPLICA_REGION",),
}
_ACCOUNTS = {"gcp": ("GOOGLE_CLOUD_PROJECT", "GCP_PROJECT", "GCLOUD_PROJECT")}

#: How the firmware of a virtual machine names its cloud.
_VENDORS = (
    ("Amazon EC2", "aws", "aws_ec2"),
    ("Google", "gcp", "gcp_compute_engine"),
    ("Microsoft Corporation", "azure", "azure_vm"),
    ("DigitalOcean", "digitalocean", "digitalocean"),
    ("Hetzner", "hetzner", "hetzner"),
)

_HEX = frozenset("0123456789abcdef")


def detect(environ: Mapping[str, str], root: str = "") -> dict[str, Table]:
    """Contexts ``cloud_resource`` and ``container``, where there are any. *root* is put before every path."""
    found: dict[str, Table] = {}
    cloud = _cloud(environ, root)
    if cloud:
        found["cloud_resource"] = {"type": "cloud_resource", **cloud}
    container = _container(environ, root)
    if container:
        found["container"] = {"type": "container", **container}
    return found


def distribution(root: str = "") -> Table:
    """Name and version of the Linux distribution, as the ``os`` context has them."""
    values: Table = {}
    for line in (_read(root + "/etc/os-release") or _read(root + "/usr/lib/os-release")).splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values[name] = value.strip().strip("\"'")
    wanted = (
        ("ID", "distribution_name"), ("VERSION_ID", "distribution_version"),
        ("PRETTY_NAME", "distribution_pretty_name"),
    )  # fmt: skip
    return {key: values[name][:100] for name, key in wanted if values.get(name)}


def _cloud(environ: Mapping[str, str], root: str) -> Table:
    provider = platform = ""
    for variable, named, what in PLATFORMS:
        if environ.get(variable):
            provider, platform = named, what
            break
    out: Table = {}
    if not provider:
        vendor = _line(root + "/sys/class/dmi/id/sys_vendor")
        for beginning, named, what in _VENDORS:
            if vendor.startswith(beginning):
                provider, platform = named, what
        # A vendor's name alone: Microsoft makes computers for desks too.
        asset = _line(root + "/sys/class/dmi/id/chassis_asset_tag")
        if provider == "azure" and asset != "7783-7084-3265-9085-8269-3286-77":
            return {}
        if provider == "gcp" and "Compute Engine" not in _line(root + "/sys/class/dmi/id/product_name"):
            return {}
        instance = _line(root + "/sys/class/dmi/id/board_asset_tag")
        if provider == "aws" and instance.startswith("i-"):
            out["host.id"] = instance
            out["host.type"] = _line(root + "/sys/class/dmi/id/product_name")
    if not provider:
        return {}
    out["cloud.provider"] = provider
    out["cloud.platform"] = platform
    for key, table in (("cloud.region", _REGIONS), ("cloud.account.id", _ACCOUNTS)):
        for variable in table.get(provider, ()):
            if environ.get(variable):
                out.setdefault(key, environ[variable])
    return {key: value[:200] for key, value in out.items() if value}


def _container(environ: Mapping[str, str], root: str) -> Table:
    out: Table = {}
    groups = _read(root + "/proc/self/cgroup")
    identifier = _id_in(groups)
    if not identifier:
        # With the second version of control groups the path says nothing, but where /etc/hostname comes from does.
        mounts = _read(root + "/proc/self/mountinfo").splitlines()
        identifier = _id_in("\n".join(line for line in mounts if "/hostname " in line))
    if identifier:
        out["id"] = identifier
    for runtime, signs in (
        ("docker", root + "/.dockerenv"),
        ("podman", root + "/run/.containerenv"),
    ):
        if os.path.exists(signs):
            out["runtime"] = runtime
    if environ.get("KUBERNETES_SERVICE_HOST"):
        out["orchestrator"] = "kubernetes"
        pod = environ.get("POD_NAME") or environ.get("KUBERNETES_POD_NAME") or environ.get("HOSTNAME", "")
        namespace = (
            environ.get("POD_NAMESPACE")
            or environ.get("KUBERNETES_NAMESPACE")
            or _line(root + "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        )
        for key, value in (
            ("k8s.pod.name", pod),
            ("k8s.namespace.name", namespace),
            ("k8s.node.name", environ.get("NODE_NAME") or environ.get("KUBERNETES_NODE_NAME") or ""),
        ):
            if value:
                out[key] = value[:200]
    elif not out and environ.get("container"):  # systemd's convention
        out["runtime"] = environ["container"][:50]
    return out


def _id_in(text: str) -> str:
    """The first path segment that is a container's id: 64 hex digits, perhaps between a name and ``.scope``."""
    for line in text.splitlines():
        for part in line.split("/"):
            part = part.strip().rpartition("-")[2].rpartition(":")[2].partition(".")[0]
            if len(part) == 64 and set(part) <= _HEX:
                return part
    return ""


def _line(path: str) -> str:
    return _read(path).partition("\n")[0].strip()


def _read(path: str) -> str:
    try:
        with FileIO(path) as file:  # open() is gone when the last finalisers run
            return file.read(100_000).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
