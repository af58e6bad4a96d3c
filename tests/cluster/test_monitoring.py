"""What watches a cluster is right for Prometheus and Grafana, and asks for numbers that exist."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "cluster" / "monitoring"
SWEEP = Path(__file__).parents[2] / "sweep"
BOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]

# (metric with labels, its values each minute, minutes until the alert, the alert).
STORIES = [
    ('ray_cluster_failed_nodes{SessionName="s", node_type="gpu-1"}', "0x5 1x20", 10, "NodeLost"),
    ('up{job="ray", instance="a"}', "1x3 0x10", 8, "NodeUnreachable"),
    ('ray_cluster_pending_nodes{SessionName="s", node_type="gpu-4"}', "1x40", 30, "WorkersDontCome"),
    ('ray_node_gpus_utilization{SessionName="s", GpuIndex="0"}', "0x90", 80, "GpusIdle"),
    ('ray_memory_manager_worker_eviction_total{SessionName="s", instance="a"}', "0x3 2x10", 8, "KilledForMemory"),
]


# What Ray's exporter makes of a name; see test_what_is_told_arrives_where_prometheus_scrapes.
ENDINGS = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_count", "_sum"]}


def promtool(*arguments):
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (apt-get install prometheus): Prometheus's files are unchecked")
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def known_metrics():
    """Every name that Ray's own boards, its agent and its collector ask for or give, and sweep's own."""
    import ray

    package = Path(ray.__file__).parent
    agent = (package / "dashboard/modules/reporter/reporter_agent.py").read_text()
    names = {f"ray_{name}" for name in re.findall(r'Gauge\(\s*"(\w+)"', agent)}
    for file in (package / "dashboard/modules/metrics/dashboards").glob("*.py"):
        names |= set(re.findall(r"\b(ray_\w+)\{", file.read_text()))
    for file in SWEEP.rglob("*.py"):
        for kind, name in re.findall(r'(Counter|Gauge|Histogram)\("(sweep_\w+)"', file.read_text()):
            names |= {f"ray_{name}{end}" for end in ENDINGS[kind]}
    return names


def queries():
    found = [(rule["alert"], rule["expr"]) for rule in ALERTS]
    for file in BOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            found += [(f"{file.name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries())
def test_every_number_asked_for_exists(where, query):
    """Each metric is one that Ray or sweep gives; a board of made-up names would stay empty without a word."""
    names = set(re.findall(r"\bray_\w+", query))
    assert names <= known_metrics()
    assert names or "up{" in query


def test_prometheus_takes_its_configuration():
    promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    promtool("check", "rules", FOLDER / "alerts.yml")


def test_prometheus_takes_the_boards_queries(tmp_path):
    """Each query of a board parses, as the expression of a rule."""
    rules = [
        {"record": f"board:{number}", "expr": query.replace("$session", ".*").replace("$study", ".*")}
        for number, (where, query) in enumerate(queries())
        if ".json" in where
    ]
    assert rules
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize(("series", "values", "minutes", "alert"), STORIES)
def test_an_alert_comes_when_it_should(tmp_path, series, values, minutes, alert):
    """And not at the start."""
    labels = dict(re.findall(r'(\w+)="([^"]*)"', series))
    rule = next(rule for rule in ALERTS if rule["alert"] == alert)
    kept = re.search(r"by \(([\w, ]+)\)", rule["expr"])
    if kept:
        labels = {name: labels[name] for name in labels if name in kept[1].split(", ")}
    text = {
        key: re.sub(r"{{ \$labels\.(\w+) }}", lambda m: labels[m[1]], one) for key, one in rule["annotations"].items()
    }
    expected = {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": text}
    story = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values}],
        "alert_rule_test": [
            {"eval_time": "1m", "alertname": alert, "exp_alerts": []},
            {"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": [expected]},
        ],
    }
    content = {"rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": "1m", "tests": [story]}
    (tmp_path / "story.yml").write_text(yaml.safe_dump(content))
    promtool("test", "rules", tmp_path / "story.yml")


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_every_alert_says_what_to_do(rule):
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["action"]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


@pytest.mark.parametrize("file", BOARDS, ids=[file.name for file in BOARDS])
def test_a_board_can_be_drawn(file):
    """Panels have numbers of their own, lie beside each other, say what they show, and ask the provisioned source."""
    board = json.loads(file.read_text())
    (source,) = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
        assert all("$session" in target["expr"] for target in panel["targets"])
    variables = [variable["name"] for variable in board["templating"]["list"]]
    assert variables[0] == "session"
    text = file.read_text()
    assert all(f"${name}" in text for name in variables)


def test_grafana_finds_rays_boards_beside_ours():
    """Two providers: ours, and the folder that Ray writes its own to."""
    file = FOLDER / "grafana" / "provisioning" / "dashboards" / "boards.yml"
    paths = {one["name"]: one["options"]["path"] for one in yaml.safe_load(file.read_text())["providers"]}
    assert paths == {"sweep": "${SWEEP_BOARDS}", "Ray": "/tmp/ray/session_latest/metrics/grafana/dashboards"}


def test_nothing_of_it_listens_to_the_world():
    """Prometheus is started on loopback, and asks with the token."""
    text = (FOLDER / "prometheus.yml").read_text()
    assert "--web.listen-address=127.0.0.1:9090" in text
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["authorization"]["type"] == "Bearer"
    assert "0.0.0.0" not in text
