# SPDX-License-Identifier: MIT
"""What the metadata servers of AWS and Google Cloud say of the machine, in the names of the protocol's context."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AWS = ("169.254.169.254", 80)
GCP = ("metadata.google.internal", 80)
TIMEOUT = 2.0


def ask_aws() -> dict[str, Any] | None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html"""
    token = _get(AWS, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    if not token:
        return None
    headers = {"X-aws-ec2-metadata-token": token}
    document = _tree(_get(AWS, "GET", "/latest/dynamic/instance-identity/document", headers))
    context = {
        "cloud.provider": "aws",
        "cloud.platform": "aws_ec2",
        "cloud.account.id": document.get("accountId"),
        "cloud.availability_zone": document.get("availabilityZone"),
        "cloud.region": document.get("region"),
        "host.id": document.get("instanceId"),
        "host.type": document.get("instanceType"),
    }
    return {name: value for name, value in context.items() if value}


def ask_gcp() -> dict[str, Any] | None:
    """https://cloud.google.com/compute/docs/metadata/querying-metadata"""
    answer = _get(GCP, "GET", "/computeMetadata/v1/?recursive=true", {"Metadata-Flavor": "Google"})
    if not answer:
        return None
    document = _tree(answer)
    instance, project = (_tree(document.get(key)) for key in ("instance", "project"))
    zone = str(instance.get("zone") or "").rpartition("/")[2]
    context = {
        "cloud.provider": "gcp",
        "cloud.platform": "gcp_compute_engine",
        "cloud.account.id": project.get("projectId"),
        "cloud.availability_zone": zone,
        "cloud.region": zone.rpartition("-")[0],
        "host.id": instance.get("id"),
    }
    return {name: value for name, value in context.items() if value}


def _get(place: tuple[str, int], method: str, path: str, headers: dict[str, str]) -> str:
    """The answer's text; empty for any answer but 200, and for none."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(*place, timeout=TIMEOUT)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.read(100_000).decode("utf-8", "replace") if answer.status == 200 else ""
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()


def _tree(given: Any) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    from json import loads

    try:
        tree = loads(given) if isinstance(given, str) else given
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}
