"""The jobs for a cluster: their form, and that train and torchrun take every flag in them."""

import inspect
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.launcher.api import LaunchConfig
from torch.distributed.run import get_args_parser

from atinuke.cli import main
from atinuke.config import build_settings
from atinuke.train.config import TrainConfig

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "cluster"
SLURM = (FOLDER / "train.sbatch").read_text(encoding="utf-8")
KUBERNETES = (FOLDER / "train-job.yaml").read_text(encoding="utf-8")


def slurm_words() -> list[str]:
    """What srun starts, with the shell's variables filled in."""
    command = re.search(r"^srun (.*?) &$", SLURM, re.DOTALL | re.MULTILINE)
    assert command is not None
    filled = re.sub(r"\$(\w+)", lambda name: {"SLURM_JOB_NUM_NODES": "4"}.get(name[1], "x"), command[1])
    words = shlex.split(filled.replace("\\\n", " "))
    return words[words.index("torchrun") :]


def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(KUBERNETES)}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = documents()["Job"]["spec"]["template"]["spec"]
    return spec


def kubernetes_words() -> list[str]:
    (container,) = pod()["containers"]
    return [*container["command"], *container["args"]]


@pytest.fixture(params=[slurm_words, kubernetes_words], ids=["slurm", "kubernetes"])
def words(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param()
    return found


def test_torchrun_takes_its_flags_and_starts_atinuke(words: list[str]) -> None:
    assert words[0] == "torchrun"
    taken = get_args_parser().parse_args(words[1:])
    assert (taken.nnodes, taken.nproc_per_node, taken.rdzv_backend) == ("4", "8", "c10d")
    assert taken.rdzv_endpoint.endswith(":29400") and taken.rdzv_id
    assert taken.module and (taken.training_script, taken.training_script_args[0]) == ("atinuke", "train")


def test_train_takes_its_flags(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = words[words.index("atinuke") + 1 :]
    assert main([*line, "--dry-run"]) == 0, capsys.readouterr().err
    (tmp_path / "config.json").write_text(capsys.readouterr().out, encoding="utf-8")
    cfg = build_settings(TrainConfig, file=tmp_path / "config.json")
    assert cfg.parallel.kind == "fsdp"
    assert cfg.out is not None and cfg.batch_seqs is not None and cfg.batch_seqs % 32 == 0


def test_both_train_the_same() -> None:
    def settings(words: list[str]) -> set[tuple[str, str]]:
        typed = words[words.index("train") :]
        flat = [part for word in typed for part in (word.split("=", 1) if word.startswith("--") else [word])]
        return {(flag, value) for flag, value in pairwise(flat) if flag.startswith("--") and flag != "--out"}

    assert settings(slurm_words()) == settings(kubernetes_words())


def test_the_shell_reads_the_script() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "train.sbatch")], check=True)


def test_slurm_starts_one_torchrun_on_each_node_and_takes_the_job_back() -> None:
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SLURM, re.MULTILINE))
    assert options["nodes"] == "4" and options["ntasks-per-node"] == "1" and options["gpus-per-node"] == "8"
    assert "requeue" in options and "scontrol requeue" in SLURM
    assert re.search(r"^trap stop TERM$", SLURM, re.MULTILINE)
    patience_s = int(options["signal"].removeprefix("B:TERM@"))
    assert 0 < shutdown_s(SLURM) < patience_s


def test_kubernetes_pods_find_each_other_at_the_first() -> None:
    job, service = documents()["Job"], documents()["Service"]
    name = job["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    # a headless service under whose name the pods of an indexed job are found: JOB-INDEX.SERVICE
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"] == {"job-name": name}
    assert pod()["subdomain"] == service["metadata"]["name"]
    endpoint = f"--rdzv-endpoint={name}-0.{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert endpoint in kubernetes_words()


def test_kubernetes_gives_time_to_save_and_a_folder_that_all_share() -> None:
    (container,) = pod()["containers"]
    assert pod()["terminationGracePeriodSeconds"] > shutdown_s(KUBERNETES)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert set(mounts) == set(volumes)
    claim = volumes["runs"]["persistentVolumeClaim"]["claimName"]
    assert claim == documents()["PersistentVolumeClaim"]["metadata"]["name"]
    assert documents()["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert any(word.startswith(f"--out={mounts['runs']}/") for word in kubernetes_words())


def shutdown_s(text: str) -> int:
    """How long torchrun is told to wait for its processes."""
    assert "TORCH_ELASTIC_SHUTDOWN_TIMEOUT" in inspect.getsource(LaunchConfig)
    (seconds,) = re.findall(r'TORCH_ELASTIC_SHUTDOWN_TIMEOUT(?:=|\n\s+value: ")(\d+)', text)
    return int(seconds)
