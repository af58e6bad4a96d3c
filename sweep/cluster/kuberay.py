"""Files for KubeRay (RayCluster, RayJob): fields, resources, token, and what is open to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.cluster import images, machines, security
from sweep.cluster.kube_schema import KINDS, amount, hold
from sweep.cluster.reading import Document, list_of, map_of
from sweep.cluster.remarks import Remarks
from sweep.cluster.starting import placeholders
from sweep.core.fleet import Fleet, NodeType
from sweep.core.positions import Path
from sweep.core.section import described

Config = dict[str, Any]

GPU = "nvidia.com/gpu"
PRICE = "sweep/usd-per-hour"
"""The annotation of a pod's template that says what its machine costs."""

_UNLIMITED = 2**31 - 1
_DECIMAL = re.compile(r"\d+(?:\.\d+)?")
_BESIDE = (
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "ConfigMap",
    "Namespace",
    "ServiceAccount",
    "PodMonitor",
    "Service",
)
_OPENERS = {
    "Ingress": "shows the cluster to the outside. Use kubectl port-forward instead.",
    "HTTPRoute": "shows the cluster to the outside. Use kubectl port-forward instead.",
    "Route": "shows the cluster to the outside. Use kubectl port-forward instead.",
    "Secret": "a secret stands in the file itself. Make it by kubectl create secret, and name it here.",
}


def is_kubernetes(document: Document) -> bool:
    """Whether this is a resource of Kubernetes."""
    return "apiVersion" in document.data and "kind" in document.data


def check(
    documents: Sequence[Document], *, own: images.Versions | None = None
) -> list[tuple[Remarks, str, Fleet | None]]:
    """Everything found in each resource of a file: (findings, what it is, its fleet when it can be said)."""
    policies = [document.data for document in documents if document.data.get("kind") == "NetworkPolicy"]
    return [_one(document, policies, own or images.own_versions()) for document in documents]


def _one(document: Document, policies: list[Config], own: images.Versions) -> tuple[Remarks, str, Fleet | None]:
    content, found = document.data, Remarks(document)
    kind = str(content.get("kind"))
    name = f"{kind} {map_of(content.get('metadata')).get('name', '')}".strip()
    security.world_problems(_without_bind(content), found)
    security.secret_problems(content, found)
    if kind not in KINDS:
        _beside(content, kind, found)
        return found, name, None
    if content.get("apiVersion") != "ray.io/v1":
        found.wrong(("apiVersion",), f"expected ray.io/v1, got {described(content.get('apiVersion'))}.")
    hold(content, KINDS[kind], (), found)
    placeholders(content, found)
    if found.problems:
        return found, name, None
    place: Path = ("spec",)
    if kind == "RayJob":
        _job(content, found)
        place = ("spec", "rayClusterSpec")
    spec = content["spec"].get("rayClusterSpec") if kind == "RayJob" else content["spec"]
    if spec is None:
        return found, name, None
    owner = content["metadata"]["name"] if kind == "RayCluster" else None
    _cluster(place, spec, found, own=own, policies=policies, owner=owner)
    return found, name, None if found.problems else fleet(spec)


def _without_bind(content: Any) -> Any:
    """The resource without the addresses that Ray's dashboard listens at: its own check sees to those."""
    if isinstance(content, dict):
        return {key: _without_bind(item) for key, item in content.items() if key != "dashboard-host"}
    if isinstance(content, list):
        return [_without_bind(item) for item in content]
    return content


def _beside(content: Config, kind: str, found: Remarks) -> None:
    if kind in _OPENERS:
        found.wrong(("kind",), f"{kind}: {_OPENERS[kind]}")
    elif kind == "Service":
        service = map_of(content.get("spec"))
        _service(service.get("type"), ("spec", "type"), found)
        if service.get("externalIPs"):
            found.wrong(("spec", "externalIPs"), "shows the cluster to the outside. Use kubectl port-forward instead.")
    elif kind not in _BESIDE:
        found.doubt(("kind",), f"a {kind} is not checked.")


def _service(kind: Any, path: Path, found: Remarks) -> None:
    if kind in ("LoadBalancer", "NodePort", "ExternalName"):
        told = f"got {kind}, which opens the cluster to the outside. Use ClusterIP, and kubectl port-forward."
        found.wrong(path, told)


def _job(content: Config, found: Remarks) -> None:
    spec = content["spec"]
    if ("rayClusterSpec" in spec) == ("clusterSelector" in spec):
        found.wrong(("spec",), "expected either rayClusterSpec or clusterSelector.")
    if not spec.get("entrypoint") and spec.get("submissionMode") != "InteractiveMode":
        found.wrong(("spec", "entrypoint"), "is missing. Write sweep launch FILE --address auto --yes.")
    if "rayClusterSpec" in spec and not spec.get("shutdownAfterJobFinishes"):
        told = "is off: the job's machines stay, and cost, when it has ended. Write shutdownAfterJobFinishes: true."
        found.doubt(("spec", "shutdownAfterJobFinishes"), told)


def groups(spec: Config) -> Iterator[tuple[Path, Config]]:
    """(place in the spec, group) of the head's group and of each worker group."""
    yield ("headGroupSpec",), spec["headGroupSpec"]
    yield from ((("workerGroupSpecs", place), group) for place, group in enumerate(spec.get("workerGroupSpecs") or ()))


def _cluster(
    place: Path, spec: Config, found: Remarks, *, own: images.Versions, policies: list[Config], owner: str | None
) -> None:
    named = []
    for where, group in groups(spec):
        path = (*place, *where)
        pod: Path = (*path, "template", "spec")
        if not group["template"]["spec"]["containers"]:
            found.wrong((*pod, "containers"), "is empty. The first container is Ray's.")
            continue
        for number, container in enumerate(group["template"]["spec"]["containers"]):
            named.append(((*pod, "containers", number, "image"), container["image"]))
        _pod(pod, group["template"]["spec"], found)
        _priced((*path, "template", "metadata", "annotations", PRICE), group, found)
        _start_params(path, group, found, head=where == ("headGroupSpec",))
        _tokens(path, spec, group, found)
        _reachable(path, group, found, policies=policies, owner=owner, head=where == ("headGroupSpec",))
    _counts(place, spec, found)
    said = images.image_problems(named, found)
    stated = ((*place, "rayVersion"), {"ray": spec.get("rayVersion")})
    images.version_problems({}, said, found, own=own, stated=stated)
    if not spec.get("rayVersion"):
        found.doubt((*place, "rayVersion"), f'is missing. Write rayVersion: "{own.ray}", as in the image.')
    head = spec["headGroupSpec"]
    _service(head.get("serviceType"), (*place, "headGroupSpec", "serviceType"), found)
    service = map_of(map_of(head.get("headService")).get("spec"))
    _service(service.get("type"), (*place, "headGroupSpec", "headService", "spec", "type"), found)
    if head.get("enableIngress"):
        told = "shows the dashboard to the outside. Remove it, and use kubectl port-forward."
        found.wrong((*place, "headGroupSpec", "enableIngress"), told)


def _counts(place: Path, spec: Config, found: Remarks) -> None:
    seen: set[str] = set()
    scales = spec.get("enableInTreeAutoscaling")
    for where, group in groups(spec):
        if where == ("headGroupSpec",):
            continue
        path = (*place, *where)
        if group["groupName"] in seen:
            found.wrong((*path, "groupName"), f"got {group['groupName']}, which another group has already.")
        seen.add(group["groupName"])
        least, most = group.get("minReplicas", 0), group.get("maxReplicas", _UNLIMITED)
        if least > most:
            found.wrong((*path, "minReplicas"), f"got {least}, more than maxReplicas, {most}.")
        elif not least <= group.get("replicas", least) <= most:
            told = f"got {group['replicas']}. It has to be from minReplicas, {least}, to maxReplicas, {most}."
            found.wrong((*path, "replicas"), told)
        if scales and "maxReplicas" not in group:
            found.wrong((*path, "maxReplicas"), "is missing, so nothing bounds what it may cost. Write one.")
        if not scales and most > group.get("replicas", least) and most < _UNLIMITED:
            told = "more is never started without enableInTreeAutoscaling: true."
            found.doubt((*path, "maxReplicas"), told)


def _pod(path: Path, pod: Config, found: Remarks) -> None:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            found.wrong((*path, key), "lets the pod out of its container. Remove it.")
    declared = {str(volume.get("name")) for volume in list_of(pod.get("volumes")) if isinstance(volume, dict)}
    for number, container in enumerate(pod["containers"]):
        where = (*path, "containers", number)
        context = map_of(container.get("securityContext"))
        for key in ("privileged", "allowPrivilegeEscalation"):
            if context.get(key) is True:
                found.wrong((*where, "securityContext", key), "gives the container rights over its machine. Remove it.")
        for place, mount in enumerate(container.get("volumeMounts") or ()):
            if mount["name"] not in declared:
                told = f"got {mount['name']}, which is none of this pod's volumes: {', '.join(sorted(declared))}."
                found.wrong((*where, "volumeMounts", place, "name"), told)
    _limits((*path, "containers", 0), pod["containers"][0], found)


def _limits(path: Path, container: Config, found: Remarks) -> None:
    """The first container is Ray's; KubeRay tells Ray its limits as what there is."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for key, example in (("cpu", "4"), ("memory", "16Gi")):
        if key not in limits:
            told = f'is missing. Ray counts what is written here: {key}: "{example}".'
            found.wrong((*path, "resources", "limits", key), told)
    if GPU in requests and amount(requests[GPU]) != amount(limits.get(GPU, 0)):
        told = f"got {requests[GPU]}, and the limit is {limits.get(GPU, 0)}. Kubernetes wants them equal."
        found.wrong((*path, "resources", "requests", GPU), told)
    if amount(limits.get(GPU, 0)) % 1:
        found.wrong((*path, "resources", "limits", GPU), "has to be a whole number; a trial may ask Ray for a part.")
    for key in requests.keys() & limits.keys():
        if amount(requests[key]) > amount(limits[key]):
            found.wrong((*path, "resources", "requests", key), f"got {requests[key]}, over the limit of {limits[key]}.")


def _start_params(path: Path, group: Config, found: Remarks, *, head: bool) -> None:
    given = group.get("rayStartParams") or {}
    limits = (group["template"]["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    for key, name in (("num-cpus", "cpu"), ("num-gpus", GPU)):
        if key not in given:
            continue
        told = (*path, "rayStartParams", key)
        if not re.fullmatch(r"\d+", given[key]):
            found.wrong(told, f"expected a whole number in quotes, got {described(given[key])}.")
        elif head and key == "num-cpus" and given[key] == "0":
            continue  # keeps trials off the head
        elif float(given[key]) > amount(limits.get(name, 0)):
            found.wrong(told, f"got {given[key]}, and the container's limit of {name} is {limits.get(name, 0)}.")
        elif key == "num-gpus" and float(given[key]) != amount(limits.get(name, 0)):
            found.wrong(told, f"got {given[key]}, and the container has {limits.get(name, 0)} of {name}.")


def _priced(path: Path, group: Config, found: Remarks) -> None:
    price = map_of(map_of(group["template"].get("metadata")).get("annotations")).get(PRICE)
    if price is not None and _price(price) is None:
        found.wrong(path, f'expected a price in quotes such as "0.805", got {described(price)}.')


def _tokens(path: Path, spec: Config, group: Config, found: Remarks) -> None:
    auth = spec.get("authOptions") or {}
    if auth.get("mode") == "token" or auth.get("enableK8sTokenAuth"):
        return
    pod = group["template"]["spec"]
    env = {one["name"]: one for one in pod["containers"][0].get("env") or ()}
    mode = env.get("RAY_AUTH_MODE", {}).get("value") == "token"
    secret = "secretKeyRef" in map_of(env.get("RAY_AUTH_TOKEN", {}).get("valueFrom"))
    if not (mode and secret):
        told = "the token is missing; anyone in the cluster's network can run code. Write authOptions: {mode: token}."
        found.wrong((*path, "template", "spec", "containers", 0, "env"), told)
    if "value" in env.get("RAY_AUTH_TOKEN", {}):
        told = "the token stands in the file itself. Take it from a secret, or write authOptions: {mode: token}."
        found.wrong((*path, "template", "spec", "containers", 0, "env"), told)


def _reachable(
    path: Path, group: Config, found: Remarks, *, policies: list[Config], owner: str | None, head: bool
) -> None:
    """On loopback, or behind a policy: the operator and a submitter's pod have to reach a RayJob's dashboard."""
    labels = dict((group["template"].get("metadata") or {}).get("labels") or {})
    labels |= {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head" if head else "worker"}
    labels |= {"ray.io/cluster": owner} if owner else {}
    if any(_selects(policy, labels) for policy in policies):
        return
    bound = (group.get("rayStartParams") or {}).get("dashboard-host", "0.0.0.0")  # noqa: S104 - KubeRay's default
    if not head or bound not in security.LOOPBACK:
        what = f"the dashboard listens at {bound}, and" if head else "the pods' ports are open, as"
        told = f"{what} no NetworkPolicy in this file selects these pods. Add one that lets in only the cluster's own."
        found.wrong((*path, "template", "metadata", "labels"), told)


def _selects(policy: Config, labels: Mapping[str, Any]) -> bool:
    spec = map_of(policy.get("spec"))
    selector = map_of(spec.get("podSelector"))
    chosen = map_of(selector.get("matchLabels"))
    # What selects by expressions isn't followed, so it counts as selecting nothing.
    closes = "Ingress" in (list_of(spec.get("policyTypes")) or ["Ingress"]) and not selector.get("matchExpressions")
    # A rule without `from` lets in everyone.
    tight = all(isinstance(rule, dict) and rule.get("from") for rule in list_of(spec.get("ingress")))
    return closes and tight and chosen.items() <= labels.items()


def fleet(spec: Config) -> Fleet:
    """The pods of a cluster as machines."""
    return Fleet(tuple(_node_type(where == ("headGroupSpec",), group, spec) for where, group in groups(spec)))


def _node_type(head: bool, group: Config, spec: Config) -> NodeType:
    template = group["template"]
    limits = template["spec"]["containers"][0]["resources"]["limits"]
    given = group.get("rayStartParams") or {}
    cpu = float(given["num-cpus"]) if "num-cpus" in given else float(int(amount(limits["cpu"])))
    scales = spec.get("enableInTreeAutoscaling")
    least = int(group.get("minReplicas", 0) if scales else group.get("replicas", 0))
    most = int(group.get("maxReplicas", least)) if scales else least
    price = ((template.get("metadata") or {}).get("annotations") or {}).get(PRICE)
    selector = template["spec"].get("nodeSelector") or {}
    there = machines.of_labels(selector)
    return NodeType(
        "head" if head else group["groupName"],
        cpu,
        amount(limits.get(GPU, 0)),
        least=1 if head else least,
        most=1 if head else most,
        machine=selector.get(machines.INSTANCE_TYPE, ""),
        gpu_memory=there.gpu_memory,
        usd_per_hour=_price(price),
        spot=any("spot" in key or value.lower() == "spot" for key, value in selector.items()),
        head=head,
    )


def _price(text: Any) -> float | None:
    return float(text) if isinstance(text, str) and _DECIMAL.fullmatch(text) else None
