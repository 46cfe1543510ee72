# What the rules need to know of the project, which has a Python of its own.
import json
import shlex
import subprocess
from pathlib import Path

PYTHON = config["python"]
QUESTION = (
    "import json, sys; from tumorcf_lib import config; "
    "from tumorcf_lib.study import made_by, stages; "
    "kinds = 'slices inputs training finetuning audit transplants saliency'.split(); "
    "print(json.dumps({'folds': config.get(sys.argv[1]).n_folds, 'runs': str(config.runs()), "
    "'code': made_by.code(*kinds), 'last': stages.NAMES[-1][:2], "
    "'settings': {name: config.get(name).as_dict() for name in sys.argv[1:]}}))"
)
ASKED = [PYTHON, "-c", QUESTION, config["profile"], config["notebooks"]]
STUDY = json.loads(subprocess.check_output(ASKED, text=True))


def code(profile):
    """What makes a mark stale when it changes: the code, and the settings of a profile."""
    return STUDY["code"] + json.dumps(STUDY["settings"][profile])


def command(name, profile=config["profile"]):
    """A command of the project, for a profile and the dataset's folder."""
    data = f" --data {shlex.quote(str(config['data']))}" if config["data"] else ""
    return f"{PYTHON} -m tumorcf_lib {name} --profile {shlex.quote(profile)}{data}"


MARKS = Path(STUDY["runs"]) / config["profile"] / "workflow"
LOGS = MARKS / "logs"
NOTEBOOK_MARKS = Path(STUDY["runs"]) / config["notebooks"] / "workflow"
SEEDS = {
    "plain": config["seeds"],
    "shuffled": config["shuffled_seeds"],
    "without_mr": config["without_mr_seeds"],
    "lighter": config["lighter_seeds"],
    **{network: config["seeds"] for network in config["finetuned"]},
}
UNITS = [
    MARKS / f"{network}_fold{fold}_seed{seed}"
    for network, seeds in SEEDS.items()
    for seed in seeds
    for fold in range(STUDY["folds"])
]


def before(unit):
    """Marks that a unit waits for; a fine-tuned network starts from the plain one of its fold."""
    start = [MARKS / f"plain_fold{unit.fold}_seed{unit.seed}"]
    return [MARKS / "prepared", *start * (unit.network in config["finetuned"])]


wildcard_constraints:
    network="|".join(SEEDS),
    fold=r"\d+",
    seed=r"\d+",
    number=r"0\d",
