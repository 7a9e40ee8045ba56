"""Everything that a machine with a GPU is asked, in stages that each have their time: what fails or is late loses itself only.

In comes the folder that `cargo xtask gpu` packed (where this file lies) and a folder for figures; out come `figures.json`, `figures.md` and the
output of each stage there, written anew after every stage. With `--cpu` the same stages run small and on the CPU, to prove the script.
"""

import argparse
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Steps at the beginning that are not counted: libraries choose and load kernels.
WARM_UP = 5

SHAPES = {
    "gpt2": {"layers": 12, "hidden": 768, "heads": 12, "context": 1024, "batch": 32, "rotary": 0,
             "parallel": False, "tanh": True, "tied": True, "vocab": 50304, "steps": 40},
    "pythia": {"layers": 24, "hidden": 1024, "heads": 16, "context": 2048, "batch": 8, "rotary": 16,
               "parallel": True, "tanh": False, "tied": False, "vocab": 50304, "steps": 30},
}
# What the device says of itself, in the folder of figures.
TABLE = "device.toml"
# What is asked of a CPU instead.
SMALL = {"layers": 2, "hidden": 64, "heads": 2, "context": 64, "batch": 4, "vocab": 512, "steps": 8}


class Stages:
    """Runs commands one after another, each within its time and that of all, and keeps what they found."""

    def __init__(self, arguments):
        self.out, self.cpu, self.end = arguments.out, arguments.cpu, time.monotonic() + arguments.limit
        self.home = tempfile.mkdtemp(prefix="pleach-gpu-")
        self.figures = {"cpu": arguments.cpu, "stages": {}}
        self.environment = dict(os.environ)
        self.libtorch = arguments.libtorch
        os.makedirs(self.out, exist_ok=True)

    def command(self, name, words, limit, **more):
        """The output of a command; its text is kept, an error or a late end is raised."""
        left = self.end - time.monotonic()
        if left <= 1:
            raise RuntimeError("no time is left for it")
        environment = dict(self.environment, **more.pop("env", {}))
        with open(os.path.join(self.out, name + ".log"), "ab") as log:
            log.write(("$ " + " ".join(words) + "\n").encode())
            log.flush()
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=log, env=environment,
                                  timeout=min(limit, left), stdin=subprocess.DEVNULL, **more)
            log.write(done.stdout)
        if done.returncode != 0:
            raise RuntimeError(f"{os.path.basename(words[0])} ended with {done.returncode}: see {name}.log")
        return done.stdout.decode(errors="replace")

    def stage(self, name, body):
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            found = body() or {}
        except subprocess.TimeoutExpired as late:
            found = {"failed": f"it took longer than {late.timeout:.0f} s"}
        except Exception as error:  # Whatever it is, the other stages go on.
            found = {"failed": str(error)}
        found["took"] = round(time.monotonic() - began, 1)
        self.figures["stages"][name] = found
        print(f"{name}: {found.get('failed') or found.get('skipped') or 'done'} ({found['took']} s)", flush=True)
        self.write()

    def write(self):
        with open(os.path.join(self.out, "figures.json"), "w") as file:
            json.dump(self.figures, file, indent=1)
        with open(os.path.join(self.out, "figures.md"), "w") as file:
            file.write(markdown(self.figures))


def versions(stages):
    """What is there; finds the libtorch that the worker is to load."""
    found = {"python": platform.python_version(), "glibc": platform.libc_ver()[1]}
    if not stages.libtorch:
        import torch

        found["torch"] = torch.__version__
        if not torch.__version__.startswith("2.11."):
            raise RuntimeError(f"PyTorch {torch.__version__} is here, the worker was built for 2.11")
        root = os.path.dirname(torch.__file__)
        stages.libtorch = os.path.join(root, "lib")
        found["cuda"] = torch.version.cuda
        if torch.cuda.is_available():
            found["device"] = torch.cuda.get_device_name(0)
            found["devices"] = torch.cuda.device_count()
    beside = glob.glob(os.path.join(stages.libtorch, "../../nvidia/*/lib"))
    paths = [stages.libtorch, *map(os.path.realpath, beside), os.environ.get("LD_LIBRARY_PATH", "")]
    stages.environment["LD_LIBRARY_PATH"] = ":".join(path for path in paths if path)
    stages.environment["PLEACH_DEVICE"] = "cpu" if stages.cpu else "cuda"
    stages.environment["XDG_CACHE_HOME"] = os.path.join(stages.home, "cache")
    found["worker"] = stages.command("versions", [os.path.join(HERE, "pleach-worker"), "--version"], 30).strip()
    if not stages.cpu:
        found["smi"] = stages.command("versions", ["nvidia-smi", "-L"], 30).strip()
    return found


def tests(stages):
    """The tests of a GPU; on a CPU they say what is missing."""
    words = [os.path.join(HERE, "kernels"), "gpu::", "--test-threads=1", "--nocapture"]
    text = stages.command("tests", words, 150)
    skipped = text.count("skipped:")
    passed = text.count("... ok") + text.count("\nok\n")
    if skipped and not stages.cpu:
        raise RuntimeError("a test was skipped: see tests.log")
    return {"passed": passed, "skipped_inside": skipped}


def settings(shape, small):
    """What is set on the command line to make a spec as small as the shape."""
    if not small:
        return []
    entries = {"model.layers": shape["layers"], "model.hidden": shape["hidden"], "model.heads": shape["heads"],
               "model.context": f"{shape['context']} tokens", "model.vocab": shape["vocab"],
               "train.steps": f"{shape['steps']} steps", "train.global_batch": f"{shape['batch']} sequences",
               "plan.micro_batch": f"{shape['batch']} sequences"}
    return [word for name, value in entries.items() for word in ("--set", f"{name}={value}")]


def train(stages, name, spec, shape, more=(), env=None, limit=90):
    """A run of the worker: its plan and the lines of its metrics."""
    folder = tempfile.mkdtemp(prefix=name + "-", dir=stages.home)
    for file in ("text.txt", spec + ".pleach"):
        shutil.copy(os.path.join(HERE, file), folder)
    table = os.path.join(stages.out, TABLE)
    if shape is not SMALL and os.path.exists(table):
        shutil.copy(table, folder)
        more = ["--set", f'cluster.device="file:{TABLE}"', *more]
    small = stages.cpu or shape is SMALL
    words = [os.path.join(HERE, "pleach"), "run", spec + ".pleach", "--yes", "--quiet", "--no-progress",
             *settings(shape, small), *more]
    try:
        stages.command(name, words, limit, cwd=folder, env=env or {})
    finally:
        for log in glob.glob(os.path.join(folder, "runs/*/log/*")):
            shutil.copy(log, os.path.join(stages.out, f"{name}-{os.path.basename(log)}"))
    run = glob.glob(os.path.join(folder, "runs/*"))[0]
    with open(os.path.join(run, "plan.json")) as file:
        plan = json.load(file)
    with open(os.path.join(run, "metrics.jsonl")) as file:
        return plan, [json.loads(line) for line in file if line.strip()]


def shape_of(stages, name):
    return dict(SHAPES[name], **SMALL) if stages.cpu else SHAPES[name]


def agreement(stages):
    """A small model in fp32 and bf16 on the CPU and on the device, fused and not: how far losses are apart."""
    found = {}
    for precision, bound in (("fp32", 2e-4), ("bf16", 3e-2)):
        losses = {}
        for way, env in (("cpu", {"PLEACH_DEVICE": "cpu"}), ("fused", {}), ("plain", {"PLEACH_FUSED": "0"})):
            more = ["--set", f"train.precision={precision}"]
            _, lines = train(stages, f"agreement-{precision}-{way}", "pythia", SMALL, more, env)
            losses[way] = [line["loss"] for line in lines]
        apart = {way: max(abs(a - b) for a, b in zip(losses["cpu"], losses[way])) for way in ("fused", "plain")}
        found[precision] = dict(apart, last=losses["cpu"][-1])
        if not all(value < bound for value in apart.values()):
            raise RuntimeError(f"losses in {precision} are {apart} apart, {bound} is allowed")
    return found


def calibrate(stages):
    """The table of the device; what is raced later is planned with it."""
    table = os.path.join(stages.out, TABLE)
    what = ["--ranks", "1"] if stages.cpu else ["--gpu"]
    words = [os.path.join(HERE, "pleach"), "calibrate", *what, "--out", table, "--json"]
    found = json.loads(stages.command("calibrate", words, 110))["hardware"]
    rates = {gemm["dtype"]: gemm["rate"]["value"] / 1e12 for gemm in found["gemm"]}
    return {"table": TABLE, "about": found["about"], "teraflops": rates, "bandwidth": found["memory"]["bandwidth"]["value"],
            "launch": found["launch"]["value"], "context": found["overhead"]["context"]["value"]}


def twin(stages, name, shape):
    """The same shape under torch.compile."""
    asked = dict(shape, device="cpu" if stages.cpu else "cuda", compile=not stages.cpu)
    text = stages.command(name + "-twin", [sys.executable, os.path.join(HERE, "compiled.py"), json.dumps(asked)], 110)
    return json.loads(text.splitlines()[-1])


def has_torch():
    return subprocess.run([sys.executable, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0


def median(seconds):
    counted = seconds[WARM_UP:] or seconds
    return statistics.median(counted)


def race(stages, name):
    """Ours and theirs in alternation: medians, tokens a second, and what the plan said of ours."""
    shape, ours, theirs, found = shape_of(stages, name), [], [], {}
    tokens = shape["batch"] * shape["context"]
    for turn in range(1 if stages.cpu else 2):
        plan, lines = train(stages, f"{name}-{turn}", name, shape, limit=70)
        ours += [line["seconds"] for line in lines][WARM_UP:]
        found["ours"] = {"step": median([0] * WARM_UP + ours), "loss": [lines[0]["loss"], lines[-1]["loss"]],
                         "reserved": lines[-1].get("memory_bytes")}
        found["ours"]["tokens_per_s"] = tokens / found["ours"]["step"]
        role = plan["prediction"]["roles"][0]
        found["plan"] = {"step": plan["prediction"]["step_ps"] / 1e12, "tensors": role["allocated_peak"],
                         "overhead": role["overhead"]}
        if not has_torch():
            found["theirs"] = {"skipped": "this Python has no PyTorch"}
            continue
        run = twin(stages, name, shape)
        theirs += run["seconds"][WARM_UP:]
        found["theirs"] = {"step": median([0] * WARM_UP + theirs), "start": run["start"],
                           "loss": [run["losses"][0], run["losses"][-1]], "reserved": run.get("reserved")}
        found["theirs"]["tokens_per_s"] = tokens / found["theirs"]["step"]
        found["ratio"] = found["theirs"]["step"] / found["ours"]["step"]
    if not stages.cpu:
        _, lines = train(stages, f"{name}-plain", name, shape, env={"PLEACH_FUSED": "0"}, limit=70)
        found["without_fused_kernels"] = {"step": median([line["seconds"] for line in lines])}
    return found


def markdown(figures):
    """The figures as a table."""
    lines = ["# Figures of a run on a " + ("CPU (`--cpu`)" if figures["cpu"] else "GPU"), ""]
    for name, found in figures["stages"].items():
        lines += [f"## {name} ({found['took']} s)", ""]
        for key, value in found.items():
            if key != "took":
                lines.append(f"- {key}: {json.dumps(value)}")
        lines.append("")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="where figures go")
    parser.add_argument("--cpu", action="store_true", help="small shapes on the CPU")
    parser.add_argument("--limit", type=float, default=530, help="seconds in all")
    parser.add_argument("--libtorch", help="the folder of libtorch's libraries, where Python has none")
    arguments = parser.parse_args()
    arguments.out = os.path.abspath(arguments.out)
    stages = Stages(arguments)
    for name, body in (("versions", versions), ("tests", tests), ("agreement", agreement),
                       ("calibrate", calibrate), ("gpt2", lambda stages: race(stages, "gpt2")),
                       ("pythia", lambda stages: race(stages, "pythia"))):
        stages.stage(name, lambda body=body: body(stages))
    shutil.rmtree(stages.home, ignore_errors=True)
    failed = [name for name, found in stages.figures["stages"].items() if "failed" in found]
    print("figures are in", arguments.out, "; failed:", ", ".join(failed) or "nothing")
    sys.exit(1 if failed else 0)


main()
