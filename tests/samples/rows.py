"""The rows of the model table that a build runs, each with the arguments that choose it."""
import os
import re
import signal
import subprocess

# Both forms of a model that has two, and what it needs to show what it is on any machine.
FORMS = {
    "loop-with-workers": {"loop-with-workers, io by the loop": ["--set", "workers.io=loop"],
                          "loop-with-workers, io by workers": ["--set", "workers.io=worker"]},
    "loop-per-core": {"loop-per-core": [], "loop-per-core, kernel": ["--policy", "kernel"]},
}


class Row:
    def __init__(self, name, model, arguments):
        self.name = name
        self.model = model
        self.arguments = arguments

    def __repr__(self):
        return self.name

    @property
    def one_at_a_time(self):
        """The second client waits until the first has left."""
        return self.model == "serial"

    @property
    def drain(self):
        """The signal after which those who have asked are still answered."""
        return signal.SIGQUIT if self.model == "process-pool" else signal.SIGTERM


def rows(program, count=2, workers=None):
    """Those that `program` runs, with `count` cores or processes, and workers unless told, where there are several."""
    table = subprocess.run([program, "--list-models"], capture_output=True, text=True, timeout=30, check=True).stdout
    heads = re.findall(r"^(\S+)(.*)$", table, re.MULTILINE)
    several = ",".join(map(str, sorted(os.sched_getaffinity(0))[:count]))
    needs = {"loop-with-workers": ["--set", f"workers.count={workers or count}"], "loop-per-core": ["--cores", several],
             "process-pool": ["--set", f"processes.count={count}"]}
    return [Row(name, model, ["--model", model, *needs.get(model, []), *form]) for model, remark in heads
            if "not built yet" not in remark for name, form in FORMS.get(model, {model: []}).items()
            if "kernel" not in form or "," in several]
