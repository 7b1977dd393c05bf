"""A sweep on a Ray cluster of two nodes, one of which is lost in its midst.

    python tests/ray_cluster/lost_node.py DIR    in an environment with ghostexp[ray]

Ray's own cluster utility starts two raylets on this machine. Both jobs are held in their second
epoch; then one raylet is killed. Ray does its job again on the other node, where the job goes on
from its checkpoint. Every weight equals that of an undisturbed sweep.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "slurm")]

from disturbed import HOLD, SWEEP  # noqa: E402
from helpers import ROOT, assert_same_weights, result  # noqa: E402

RATIOS = (2, 4)
JOBS = ("model.ratio=2,4", *(word for word in SWEEP if not word.startswith("model.ratio")))


def launch(work: Path, *arguments: str) -> subprocess.Popen:
    """Start train.py in the background."""
    environment = {**os.environ, "PYTHONPATH": f"{work}:{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *JOBS, *arguments], cwd=work, env=environment
    )


def wait(what: str, condition: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.5)
    print(f"# {what}", flush=True)


def main(work: Path) -> None:
    """Start the cluster, kill a node, let the sweep end, compare."""
    from ray.cluster_utils import Cluster

    work.mkdir(parents=True)
    (work / "hold.py").write_text(HOLD)
    (work / "hold").touch()
    os.environ["PYTHONPATH"] = f"{work}:{ROOT}"  # of the nodes' workers
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    try:
        where = (f"hydra.launcher.ray.init.address={cluster.address}", "hydra/launcher=ray")
        sweep = launch(work, *where, "name=disturbed")
        held = [work / "held" / f"model.ratio={ratio}" for ratio in RATIOS]
        wait(
            "both jobs are in their second epoch",
            lambda: all(map(Path.exists, held)) or sweep.poll() is not None,
        )
        cluster.remove_node(node, allow_graceful=False)
        print("# one of the two raylets is killed", flush=True)
        (work / "hold").unlink()
        assert sweep.wait() == 0
    finally:
        cluster.shutdown()
    assert launch(work, "name=undisturbed").wait() == 0
    for ratio in RATIOS:
        one, other = (
            work / "outputs" / n / f"model.ratio={ratio}" for n in ("disturbed", "undisturbed")
        )
        assert_same_weights(one, other)
        assert result(one)["status"] == "finished"
        print(f"# model.ratio={ratio}: all weights equal, {len(result(one)['segments'])} launches")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
