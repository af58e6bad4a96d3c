"""The fields of KubeRay's resources (ray.io/v1, KubeRay 1.6), and of a pod, as far as a cluster for sweep has a use.

Kubernetes drops a field that it doesn't know, or refuses the whole, as whoever applies it wishes; here it is told.
A schema is a map of fields ("!" behind a name: it has to be there), a list with the schema of its items, or a word for
a plain value. What a cluster needs rarely, and Kubernetes checks well itself, is ANY.
"""

from __future__ import annotations

import re
from typing import Any

from sweep.cluster.remarks import Remarks, unknown
from sweep.core.positions import Path
from sweep.core.section import described

Schema = Any

TEXT, WHOLE, NUMBER, FLAG, ANY, TEXTS, AMOUNT = "text", "whole", "number", "flag", "any", "texts", "amount"
_AMOUNT = re.compile(r"\d+(?:\.\d+)?(?:m|[kKMGTPE]i?)?")

METADATA = {
    "name!": TEXT, "namespace": TEXT, "labels": TEXTS, "annotations": TEXTS, "generateName": TEXT, "finalizers": ANY,
}  # fmt: skip
POD_METADATA = {key.rstrip("!"): kind for key, kind in METADATA.items()}
AMOUNTS = {"*": AMOUNT}
RESOURCES = {"limits": AMOUNTS, "requests": AMOUNTS, "claims": ANY}
ENV = [{"name!": TEXT, "value": TEXT, "valueFrom": ANY}]
CONTAINER = {
    "name!": TEXT, "image!": TEXT, "imagePullPolicy": ("Always", "IfNotPresent", "Never"), "command": [TEXT],
    "args": [TEXT], "env": ENV, "envFrom": ANY, "workingDir": TEXT, "resources": RESOURCES, "securityContext": ANY,
    "ports": [{"containerPort!": WHOLE, "name": TEXT, "protocol": ("TCP", "UDP", "SCTP"), "hostPort": WHOLE,
               "hostIP": TEXT}],
    "volumeMounts": [{"name!": TEXT, "mountPath!": TEXT, "subPath": TEXT, "readOnly": FLAG, "mountPropagation": TEXT,
                      "subPathExpr": TEXT, "recursiveReadOnly": TEXT}],
    "lifecycle": ANY, "livenessProbe": ANY, "readinessProbe": ANY, "startupProbe": ANY, "volumeDevices": ANY,
    "stdin": FLAG, "tty": FLAG, "terminationMessagePath": TEXT, "terminationMessagePolicy": TEXT, "restartPolicy": TEXT,
    "resizePolicy": ANY,
}  # fmt: skip
POD = {
    "containers!": [CONTAINER], "initContainers": [CONTAINER], "volumes": ANY, "nodeSelector": TEXTS,
    "tolerations": [{"key": TEXT, "operator": ("Exists", "Equal"), "value": TEXT, "tolerationSeconds": WHOLE,
                     "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute")}],
    "affinity": ANY, "serviceAccountName": TEXT, "automountServiceAccountToken": FLAG, "securityContext": ANY,
    "imagePullSecrets": [{"name!": TEXT}], "restartPolicy": ("Always", "OnFailure", "Never"), "hostNetwork": FLAG,
    "hostPID": FLAG, "hostIPC": FLAG, "priorityClassName": TEXT, "terminationGracePeriodSeconds": WHOLE,
    "topologySpreadConstraints": ANY, "runtimeClassName": TEXT, "schedulerName": TEXT, "dnsPolicy": TEXT,
    "dnsConfig": ANY, "hostAliases": ANY, "hostname": TEXT, "subdomain": TEXT, "enableServiceLinks": FLAG,
    "shareProcessNamespace": FLAG, "activeDeadlineSeconds": WHOLE, "overhead": ANY, "preemptionPolicy": TEXT,
    "resourceClaims": ANY, "schedulingGates": ANY, "nodeName": TEXT, "os": ANY, "readinessGates": ANY,
    "setHostnameAsFQDN": FLAG, "hostUsers": FLAG, "ephemeralContainers": ANY, "serviceAccount": TEXT,
}  # fmt: skip
TEMPLATE = {"metadata": POD_METADATA, "spec!": POD}
GROUP = {"rayStartParams": TEXTS, "template!": TEMPLATE, "resources": {"*": AMOUNT}, "labels": TEXTS}
HEAD_GROUP = {
    **GROUP, "serviceType": ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"), "headService": ANY,
    "enableIngress": FLAG,
}  # fmt: skip
WORKER_GROUP = {
    **GROUP, "groupName!": TEXT, "replicas": WHOLE, "minReplicas": WHOLE, "maxReplicas": WHOLE, "numOfHosts": WHOLE,
    "idleTimeoutSeconds": WHOLE, "scaleStrategy": ANY, "suspend": FLAG,
}  # fmt: skip
AUTOSCALER = {
    "resources": RESOURCES, "image": TEXT, "imagePullPolicy": ("Always", "IfNotPresent", "Never"), "env": ENV,
    "envFrom": ANY, "volumeMounts": ANY, "securityContext": ANY, "idleTimeoutSeconds": WHOLE,
    "upscalingMode": ("Default", "Aggressive", "Conservative"), "version": ("v1", "v2"), "command": [TEXT],
    "args": [TEXT],
}  # fmt: skip
CLUSTER_SPEC = {
    "headGroupSpec!": HEAD_GROUP, "workerGroupSpecs": [WORKER_GROUP], "rayVersion": TEXT,
    "authOptions": {"mode": ("token", "disabled"), "secretName": TEXT, "enableK8sTokenAuth": FLAG},
    "enableInTreeAutoscaling": FLAG, "autoscalerOptions": AUTOSCALER, "gcsFaultToleranceOptions": ANY,
    "headServiceAnnotations": TEXTS, "suspend": FLAG, "managedBy": TEXT, "upgradeStrategy": ANY,
}  # fmt: skip
JOB_SPEC = {
    "entrypoint": TEXT, "rayClusterSpec": CLUSTER_SPEC, "clusterSelector": TEXTS, "runtimeEnvYAML": TEXT,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"), "submitterPodTemplate": TEMPLATE,
    "submitterConfig": {"backoffLimit": WHOLE}, "metadata": TEXTS, "jobId": TEXT, "shutdownAfterJobFinishes": FLAG,
    "ttlSecondsAfterFinished": WHOLE, "activeDeadlineSeconds": WHOLE, "backoffLimit": WHOLE, "suspend": FLAG,
    "entrypointNumCpus": NUMBER, "entrypointNumGpus": NUMBER, "entrypointResources": TEXT, "deletionStrategy": ANY,
    "managedBy": TEXT, "preRunningDeadlineSeconds": WHOLE,
}  # fmt: skip
TOP = {"apiVersion!": TEXT, "kind!": TEXT, "metadata!": METADATA}
KINDS = {
    "RayCluster": {**TOP, "spec!": CLUSTER_SPEC},
    "RayJob": {**TOP, "spec!": JOB_SPEC},
}

_WORDS = {TEXT: "a text", WHOLE: "a whole number", NUMBER: "a number", FLAG: "true or false"}


def hold(value: Any, schema: Schema, path: Path, found: Remarks) -> None:
    """Tell each place where a value breaks a schema."""
    if isinstance(schema, dict):
        _map(value, schema, path, found)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            found.wrong(path, f"expected a list, got {described(value)}.")
            return
        for place, item in enumerate(value):
            hold(item, schema[0], (*path, place), found)
    elif isinstance(schema, tuple):
        if value not in schema:
            found.wrong(path, f"expected one of {', '.join(schema)}, got {described(value)}.")
    else:
        _plain(value, schema, path, found)


def _map(value: Any, schema: dict[str, Schema], path: Path, found: Remarks) -> None:
    if not isinstance(value, dict):
        found.wrong(path, f"expected a map, got {described(value)}.")
        return
    fields = {key.rstrip("!"): kind for key, kind in schema.items()}
    for key, item in value.items():
        if key in fields or "*" in fields:
            hold(item, fields.get(key, fields.get("*")), (*path, key), found)
        else:
            found.wrong((*path, str(key)), unknown(str(key), fields), at_key=True)
    for key in schema:
        if key.endswith("!") and key[:-1] not in value:
            found.wrong((*path, key[:-1]), "is missing.")


def _plain(value: Any, kind: str, path: Path, found: Remarks) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        ANY: True,
        TEXT: isinstance(value, str),
        WHOLE: number and isinstance(value, int),
        NUMBER: number,
        FLAG: isinstance(value, bool),
        TEXTS: isinstance(value, dict),
        AMOUNT: number or (isinstance(value, str) and bool(_AMOUNT.fullmatch(value))),
    }[kind]
    if kind == AMOUNT and not right:
        found.wrong(path, f"expected an amount such as 4, 500m or 16Gi, got {described(value)}.")
    elif kind == TEXTS and not right:
        found.wrong(path, f"expected a map, got {described(value)}.")
    elif kind == TEXTS:
        for key, item in value.items():
            if not isinstance(item, str):
                told = f'expected a text, got {described(item)}. Put it in quotes: "{str(item).lower()}".'
                found.wrong((*path, str(key)), told)
    elif not right:
        quotes = f' Put it in quotes: "{value}".' if kind == TEXT and number else ""
        found.wrong(path, f"expected {_WORDS[kind]}, got {described(value)}.{quotes}")


def amount(value: Any) -> float:
    """The number that a Kubernetes amount stands for: cores of "500m", bytes of "16Gi"."""
    text = str(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[kKMGTPE]i?)?", text)
    if match is None:
        return 0.0
    unit = match[2] or ""
    if unit == "m":
        return float(match[1]) / 1000
    power = "KMGTPE".index(unit[0].upper()) + 1 if unit else 0
    return float(match[1]) * float((1024 if unit.endswith("i") else 1000) ** power)
