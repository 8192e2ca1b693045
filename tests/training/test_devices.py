"""Clusters as Slurm and Kubernetes describe them, and the examples that start them."""

import dataclasses
import json
import re
import shlex
import subprocess

import pytest
import tensorflow as tf
import yaml

from slot_attention_tf.models import find_model
from slot_attention_tf.settings import parse
from slot_attention_tf.training import devices
from slot_attention_tf.training.devices import slurm_cluster
from slot_attention_tf.training.options import RunOptions
from tests.conftest import ROOT

CLUSTER = ROOT / "examples" / "cluster"


@pytest.mark.parametrize(
    ("rank", "index", "host"), [(0, 0, "node07"), (2, 2, "node08"), (3, 3, "node09")]
)
def test_each_task_of_a_slurm_step_is_a_worker(rank, index, host, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4005")
    monkeypatch.setenv("SLURM_PROCID", str(rank))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[07-09]")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1(x2)")
    found = slurm_cluster()
    assert found["task"] == {"type": "worker", "index": index}
    workers = found["cluster"]["worker"]
    assert workers[index].split(":")[0] == host
    assert len(set(workers)) == 4


def test_outside_of_slurm_the_script_says_how_to_start(run_script, monkeypatch):
    for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    message = run_script("train_discovery.py", strategy="slurm")
    assert re.search(r"^ValueError: .*srun.*SLURM_STEP_NUM_TASKS", message)


@pytest.mark.parametrize(
    ("units", "precision", "emulated"),
    [
        (["avx2"], "float32", False),
        (["avx2"], "bfloat16", True),
        (["avx2", "avx512_bf16"], "bfloat16", False),
        (["avx2", "avx512_bf16"], "float16", True),
        (["amx_bf16", "amx_fp16"], "float16", False),
        ([], "bfloat16", False),  # Not Linux, or not x86_64.
    ],
)
@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="of CPUs")
def test_half_precision_without_instructions(units, precision, emulated, monkeypatch):
    monkeypatch.setattr(devices, "_cpu_flags", lambda: units)
    assert devices.is_emulated(precision) == emulated


def check_flags(given):
    """They are flags of the scripts, with values that these take."""
    fields = {field.name: field for field in dataclasses.fields(RunOptions)}
    flags = dict(each.removeprefix("--").split("=", 1) for each in given)
    assert flags.pop("preset") in find_model("discovery", "slot_attention").presets
    for name, value in flags.items():
        parse(fields[name], value)
    return flags


def test_slurm_example():
    path = CLUSTER / "slurm.sbatch"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text("utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^srun \S+ (.*)$", text, flags=re.MULTILINE)
    script, *flags = shlex.split(command)
    assert (ROOT / script).exists()
    assert check_flags(flags)["strategy"] == "slurm"


def test_kubernetes_example():
    documents = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text("utf-8"))
    service, job = documents
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each for each in container["env"]}
    config = variables["TF_CONFIG"]["value"].replace("$(WORKER)", "1")
    workers = json.loads(config)["cluster"]["worker"]
    name = job["metadata"]["name"]
    hosts = [
        f"{name}-{i}.{pod['subdomain']}" for i in range(job["spec"]["completions"])
    ]
    assert [each.split(":")[0] for each in workers] == hosts
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"]["job-name"] == name
    assert (ROOT / container["command"][-1]).exists()
    assert check_flags(container["args"])["strategy"] == "multi_worker"
