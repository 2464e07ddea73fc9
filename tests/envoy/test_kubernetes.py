"""The manifests for Kubernetes: who may reach whom, how pods are confined, and that they fit the bootstraps they run."""

import re
from dataclasses import dataclass, field

import pytest
import yaml
from harness.shipped import ENVOY

KUBERNETES = ENVOY / "kubernetes"


def documents(name):
    return [document for document in yaml.safe_load_all((KUBERNETES / name).read_text()) if document]


def of_kind(kind, *names):
    return [document for name in names for document in documents(name) if document["kind"] == kind]


@dataclass
class Pod:
    """A pod, or with no namespace whatever is outside the cluster."""

    namespace: str
    labels: dict = field(default_factory=dict)


def selects(selector, labels):
    """A label selector (Kubernetes API, LabelSelector); an empty one selects everything."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "In", "the only operator that is used"
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def is_peer(peer, pod, policy_namespace):
    """One entry of `from` or `to` (NetworkPolicyPeer): without a namespace selector, pods of the policy's namespace."""
    assert "ipBlock" not in peer
    if pod.namespace is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": pod.namespace}):
            return False
    elif pod.namespace != policy_namespace:
        return False
    return selects(peer.get("podSelector", {}), pod.labels)


def permits(policies, direction, pod, other, port, protocol):
    """Whether `pod` may talk in this direction: policies that select it add up, and without any all is allowed."""
    key, peers = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[direction]
    chosen = [policy for policy in policies if policy["metadata"]["namespace"] == pod.namespace
              and direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)]
    if not chosen:
        return True
    for policy in chosen:
        for rule in policy["spec"].get(key, []):
            fits = any(entry["protocol"] == protocol and entry["port"] == port for entry in rule.get("ports", []))
            anyone = peers not in rule
            if (fits or "ports" not in rule) and (anyone or any(
                    is_peer(peer, other, policy["metadata"]["namespace"]) for peer in rule[peers])):
                return True
    return False


def reaches(policies, source, target, port, protocol="TCP"):
    outgoing = source.namespace is None or permits(policies, "Egress", source, target, port, protocol)
    return outgoing and (target.namespace is None or permits(policies, "Ingress", target, source, port, protocol))


def app(name, namespace="microservices"):
    return Pod(namespace, {"app": name})


SERVICES = ["user-service", "order-service", "payment-service"]
PODS = {name: app(name) for name in [*SERVICES, "postgresql", "redis", "stranger"]} | {
    "gateway": app("api-gateway", "gateway"),
    "elsewhere": app("user-service", "default"),
    "dns": Pod("kube-system", {"k8s-app": "kube-dns"}),
    "kubelet-api": Pod("kube-system", {"component": "kube-apiserver"}),
    "prometheus": Pod("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "internet": Pod(None),
}
# All that is allowed in the services' namespace: (from, to, port, protocol). Nothing else of the whole table is.
ALLOWED = {("gateway", service, 8000, "TCP") for service in SERVICES} \
    | {(one, other, 8000, "TCP") for one in SERVICES for other in SERVICES} \
    | {(service, "postgresql", 5432, "TCP") for service in SERVICES} \
    | {(service, "redis", 6379, "TCP") for service in SERVICES} \
    | {(service, "dns", 53, protocol) for service in SERVICES for protocol in ("UDP", "TCP")} \
    | {(service, "internet", 443, "TCP") for service in SERVICES}
# HTTPS is allowed to anywhere, where the other side lets it in.
OPEN_443 = {"gateway", "elsewhere", "dns", "kubelet-api", "prometheus", "internet"}


@pytest.mark.parametrize("source", PODS)
def test_pods_reach_what_they_must_and_nothing_else(source):
    policies = of_kind("NetworkPolicy", "networkpolicies.yaml")
    ours = lambda name: PODS[name].namespace == "microservices"
    for target in PODS:
        if not ours(source) and not ours(target):
            continue
        for port in (22, 53, 80, 443, 5432, 6379, 8000, 8080, 9000, 9901, 9902):
            for protocol in ("TCP", "UDP"):
                expected = (source, target, port, protocol) in ALLOWED
                if source in SERVICES and target in OPEN_443 and (port, protocol) == (443, "TCP"):
                    expected = True
                found = reaches(policies, PODS[source], PODS[target], port, protocol)
                assert found == expected, (source, target, port, protocol)


def test_prometheus_reaches_the_metrics_and_nothing_else_where_it_is_let_in():
    policies = of_kind("NetworkPolicy", "networkpolicies.yaml", "gateway.yaml", "monitoring.yaml")
    for target in [*SERVICES, "gateway"]:
        reached = [port for port in (8000, 8080, 8443, 9901, 9902) if reaches(policies, PODS["prometheus"], PODS[target], port)]
        # The gateway's public ports are everybody's.
        assert reached == ([8080, 8443, 9902] if target == "gateway" else [9902])
        assert not reaches(policies, PODS["stranger"], PODS[target], 9902)


def test_the_gateway_is_reached_on_its_public_ports_and_reaches_the_services():
    policies = of_kind("NetworkPolicy", "networkpolicies.yaml", "gateway.yaml")
    gateway, internet = PODS["gateway"], PODS["internet"]
    assert [port for port in (80, 443, 8080, 8443, 9901, 9902) if reaches(policies, internet, gateway, port)] == [8080, 8443]
    assert [port for port in (443, 5432, 8000, 9000) if reaches(policies, gateway, app("user-service"), port)] == [8000]
    assert reaches(policies, gateway, PODS["dns"], 53, "UDP") and not reaches(policies, gateway, internet, 443)


def test_namespaces_refuse_pods_that_are_not_confined():
    labels = [document["metadata"]["labels"] for document in documents("namespaces.yaml")]
    assert [label["pod-security.kubernetes.io/enforce"] for label in labels] == ["restricted", "restricted"]


WORKLOADS = [("gateway.yaml", "front-proxy"), ("user-service.yaml", "sidecar")]


def pod_of(manifest):
    [deployment] = of_kind("Deployment", manifest)
    return deployment["spec"]["template"]["spec"]


@pytest.mark.parametrize("manifest", [name for name, _ in WORKLOADS])
def test_pods_are_confined(manifest):
    pod = pod_of(manifest)
    assert pod["automountServiceAccountToken"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] >= 10_000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert name not in pod
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True and confined["capabilities"] == {"drop": ["ALL"]}
        assert confined["allowPrivilegeEscalation"] is False and confined["privileged"] is False
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]) & set(container["resources"]["requests"])
        assert all(mount["readOnly"] for mount in container.get("volumeMounts", []))


@pytest.mark.parametrize("manifest, bootstrap", WORKLOADS)
def test_a_pod_fits_the_bootstrap_that_it_runs(manifest, bootstrap):
    pod, text = pod_of(manifest), (ENVOY / bootstrap / "envoy.yaml").read_text()
    [envoy] = [entry for entry in [*pod.get("initContainers", []), *pod["containers"]] if entry["name"] == "envoy"]
    mounted = tuple(mount["mountPath"] + "/" for mount in envoy["volumeMounts"])
    files = set(re.findall(r"filename: (/[^ }]+)", text))
    assert files and all(file.startswith(mounted) for file in files), (files, mounted)
    assert envoy["args"][1].startswith(mounted)
    parsed = yaml.safe_load(text)
    public = {listener["address"]["socket_address"]["port_value"] for listener in parsed["static_resources"]["listeners"]
              if listener["address"]["socket_address"]["address"] == "0.0.0.0"}
    assert {port["containerPort"] for port in envoy["ports"]} == public
    named = set(re.findall(r"[A-Z_]+", " ".join(re.findall(r"host_env_keys: \[(.*)\]", text))))
    assert named == {variable["name"] for variable in envoy["env"]}
    assert all("secretKeyRef" in variable["valueFrom"] for variable in envoy["env"])
    [heap] = [monitor["typed_config"]["max_heap_size_bytes"] for monitor in parsed["overload_manager"]["resource_monitors"]
              if monitor["name"].endswith("fixed_heap")]
    limit = {"Mi": 1 << 20, "Gi": 1 << 30}[envoy["resources"]["limits"]["memory"][-2:]]
    # Four VMs of 75 MB come on top of the heap.
    assert heap + (300 << 20) <= int(envoy["resources"]["limits"]["memory"][:-2]) * limit
    [config_map] = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert config_map == bootstrap


def test_the_sidecar_is_all_that_is_seen_of_a_service():
    [service] = of_kind("Service", "user-service.yaml")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["inbound"]
    [container] = pod_of("user-service.yaml")["containers"]
    assert "ports" not in container
