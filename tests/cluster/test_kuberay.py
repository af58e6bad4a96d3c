"""Each mistake in a file for KubeRay is found, and told where it stands."""

import re

import pytest
import yaml
from cluster_files import FOLDER, REMOVE

from sweep.cluster.kube_schema import amount

# Documents of kuberay.yaml, by their place.
POLICY, CLUSTER, JOB = 2, 3, 4
HEAD, WORKER = "spec.headGroupSpec", "spec.workerGroupSpecs.0"
BOX = "template.spec.containers.0"
GPU = "nvidia\\.com/gpu"

BROKEN = [
    (CLUSTER, "apiVersion", "ray.io/v1alpha1", "apiVersion: expected ray.io/v1, got the text 'ray.io/v1alpha1'"),
    (CLUSTER, "spec.workerGroupSpec", [], "workerGroupSpec: unknown. Did you mean workerGroupSpecs?"),
    (CLUSTER, f"{WORKER}.groupname", "x", "groupname: unknown. Did you mean groupName?"),
    (CLUSTER, f"{WORKER}.groupName", REMOVE, "groupName: is missing"),
    (CLUSTER, f"{WORKER}.groupName", "gpu-4", "got gpu-4, which another group has already"),
    (CLUSTER, f"{WORKER}.rayStartParams", {"num-gpus": 1}, 'num-gpus: expected a text, got 1. Put it in quotes: "1"'),
    (CLUSTER, f"{WORKER}.rayStartParams", {"num-gpus": "4"}, "got 4, and the container's limit of nvidia.com/gpu is 1"),
    (CLUSTER, f"{WORKER}.rayStartParams", {"num-gpus": "0"}, "got 0, and the container has 1 of nvidia.com/gpu"),
    (CLUSTER, f"{WORKER}.rayStartParams", {"num-cpus": "64"}, "got 64, and the container's limit of cpu is 7"),
    (CLUSTER, f"{WORKER}.rayStartParams", {"num-cpus": "many"}, "expected a whole number in quotes"),
    (CLUSTER, f"{WORKER}.replicas", 9, "got 9. It has to be from minReplicas, 1, to maxReplicas, 4"),
    (CLUSTER, f"{WORKER}.minReplicas", 5, "got 5, more than maxReplicas, 4"),
    (CLUSTER, f"{WORKER}.maxReplicas", REMOVE, "maxReplicas: is missing, so nothing bounds what it may cost"),
    (CLUSTER, f"{WORKER}.{BOX}.resources.limits.cpu", REMOVE, "limits.cpu: is missing"),
    (CLUSTER, f"{WORKER}.{BOX}.resources.limits.memory", "16 GB", "expected an amount such as 4, 500m or 16Gi"),
    (CLUSTER, f"{WORKER}.{BOX}.resources.requests.{GPU}", 2, "got 2, and the limit is 1. Kubernetes wants them equal"),
    (CLUSTER, f"{WORKER}.{BOX}.resources.limits.{GPU}", "500m", "has to be a whole number"),
    (CLUSTER, f"{WORKER}.{BOX}.resources.requests.memory", "64Gi", "got 64Gi, over the limit of 26Gi"),
    (CLUSTER, f"{WORKER}.{BOX}.volumeMounts.0.name", "sharde", "got sharde, which is none of this pod's volumes"),
    (CLUSTER, f"{WORKER}.{BOX}.image", "registry.example.com/pytorch-cuda:2.14", "tagged after their PyTorch"),
    (CLUSTER, f"{WORKER}.{BOX}.image", "registry.example.com/pytorch-cuda:v2.9", "says torch 2.9"),
    (CLUSTER, "spec.rayVersion", "2.52.0", "rayVersion: has Ray 2.52.0, and here is 2.60.0"),
    (CLUSTER, "spec.rayVersion", 2.6, 'rayVersion: expected a text, got 2.6. Put it in quotes: "2.6"'),
    (CLUSTER, "spec.authOptions", REMOVE, "the token is missing; anyone in the cluster's network can run code"),
    (CLUSTER, "spec.authOptions.mode", "disabled", "the token is missing"),
    (CLUSTER, "spec.authOptions.mode", "on", "expected one of token, disabled, got the text 'on'"),
    (CLUSTER, f"{HEAD}.serviceType", "LoadBalancer", "got LoadBalancer, which opens the cluster to the outside"),
    (CLUSTER, f"{HEAD}.headService", {"spec": {"type": "NodePort"}}, "got NodePort, which opens"),
    (CLUSTER, f"{HEAD}.enableIngress", True, "enableIngress: shows the dashboard to the outside"),
    (CLUSTER, f"{HEAD}.template.metadata.labels", {"app": "else"}, r"listens at 0\.0\.0\.0, and no NetworkPolicy"),
    (CLUSTER, f"{WORKER}.template.metadata.labels", {}, "the pods' ports are open, as no NetworkPolicy"),
    (CLUSTER, f"{WORKER}.template.spec.hostNetwork", True, "hostNetwork: lets the pod out of its container"),
    (CLUSTER, f"{WORKER}.{BOX}.securityContext", {"privileged": True}, "gives the container rights over its machine"),
    (CLUSTER, f"{WORKER}.{BOX}.env", [{"name": "X", "value": "HF_TOKEN=hf_0123456789"}], "HF_TOKEN stands in the file"),
    (CLUSTER, f"{WORKER}.template.spec.containers", [], "containers: is empty. The first container is Ray's"),
    (CLUSTER, f"{WORKER}.template.metadata.annotations.sweep/usd-per-hour", "cheap", "expected a price in quotes"),
    (POLICY, "spec.podSelector.matchExpressions", [{"key": "app"}], "no NetworkPolicy in this file selects these"),
    (POLICY, "spec.ingress.0", {}, "no NetworkPolicy in this file selects these pods"),
    (POLICY, "spec.ingress.0.from", [{"ipBlock": {"cidr": "0.0.0.0/0"}}], r"0\.0\.0\.0/0 opens it to every network"),
    (POLICY, "spec.policyTypes", ["Egress"], "no NetworkPolicy in this file selects these pods"),
    (POLICY, "kind", "Ingress", "Ingress: shows the cluster to the outside"),
    (POLICY, "kind", "Secret", "Secret: a secret stands in the file itself"),
    (JOB, "spec.entrypont", "sweep", "entrypont: unknown. Did you mean entrypoint?"),
    (JOB, "spec.entrypoint", REMOVE, "entrypoint: is missing. Write sweep launch"),
    (JOB, "spec.clusterSelector", REMOVE, "expected either rayClusterSpec or clusterSelector"),
    (JOB, "spec.submissionMode", "Job", "expected one of K8sJobMode, HTTPMode"),
    (JOB, "metadata.name", REMOVE, "metadata.name: is missing"),
]


@pytest.mark.parametrize(("document", "place", "value", "words"), BROKEN)
def test_each_mistake_for_kuberay_is_found(told, document, place, value, words):
    """One mistake in a good file is found, and told by the place where it stands."""
    found = told("kuberay.yaml", {place: value}, document=document)
    assert re.search(words, found), found


def test_a_token_from_a_secret_is_as_good(checked):
    """Without authOptions, each pod may take mode and token from its own environment."""
    secret = {"secretKeyRef": {"name": "mine", "key": "auth_token"}}
    env = [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": secret}]
    places = [f"{HEAD}.{BOX}.env", f"{WORKER}.{BOX}.env", f"spec.workerGroupSpecs.1.{BOX}.env"]
    changes = {"spec.authOptions": REMOVE, **dict.fromkeys(places, env)}
    assert checked("kuberay.yaml", changes, document=CLUSTER).problems == []
    changes[places[1]] = [env[0], {"name": "RAY_AUTH_TOKEN", "value": "abcdef"}]
    found = "\n".join(map(str, checked("kuberay.yaml", changes, document=CLUSTER).problems))
    assert "the token stands in the file itself" in found


def test_a_dashboard_on_loopback_needs_no_policy_for_the_head(checked):
    """Workers' ports stay open without one, and only they are told."""
    changes = {f"{HEAD}.rayStartParams.dashboard-host": "127.0.0.1", f"{HEAD}.template.metadata.labels": {}}
    assert checked("kuberay.yaml", changes, document=CLUSTER).problems == []


def test_a_jobs_own_cluster_is_checked_like_any(checked):
    """What stands under rayClusterSpec is told by its place there."""
    spec = list(yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text()))[CLUSTER]["spec"]
    changes = {"spec.clusterSelector": REMOVE, "spec.rayClusterSpec": spec, "spec.shutdownAfterJobFinishes": True}
    report = checked("kuberay.yaml", changes, document=JOB)
    assert report.problems == []
    assert [name for name, _ in report.fleets] == ["RayCluster sweep", "RayJob vit"]
    changes["spec.rayClusterSpec"] = {**spec, "authOptions": {"mode": "disabled"}}
    changes["spec.shutdownAfterJobFinishes"] = False
    report = checked("kuberay.yaml", changes, document=JOB)
    assert "spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].env: the token" in str(report.problems[0])
    assert "the job's machines stay, and cost" in "\n".join(map(str, report.doubts))


def test_without_the_autoscaler_replicas_are_what_there_is(checked):
    """A maxReplicas is nothing then, and that is said."""
    report = checked("kuberay.yaml", {"spec.enableInTreeAutoscaling": False}, document=CLUSTER)
    (_, fleet) = report.fleets[0]
    assert [(kind.least, kind.most) for kind in fleet.types] == [(1, 1), (1, 1), (0, 0)]
    assert "more is never started without enableInTreeAutoscaling" in "\n".join(map(str, report.doubts))


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("4", 4), (2, 2), ("16Gi", 16 * 2**30), ("1G", 1e9), ("64Ki", 65536), ("1.5", 1.5), ("x", 0)],
)
def test_amounts_are_kubernetes_own(text, value):
    """Cores in thousandths, bytes in powers of 1024 or 1000."""
    assert amount(text) == value
