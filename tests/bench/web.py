"""What the benchmarks of HTTP share: the http sample and Debian's nginx as servers, and their table."""
import shutil
import subprocess
from pathlib import Path

import measure
from measure import Failure, Program, Server


class Nginx(Server):
    """Its configuration is written for each start; its worker's time counts, not the master's alone."""

    def __init__(self, work, root, one_process=False, log=None, **more):
        self.work, self.root, self.one_process, self.log = Path(work), root, one_process, log
        self.work.mkdir(exist_ok=True)
        self.work.chmod(0o755)  # its worker is another user
        name = "nginx, log" if log else "nginx"
        super().__init__(Program(name, [shutil.which("nginx") or "/usr/sbin/nginx", "-c", self.work / "nginx.conf"]),
                         **more)

    def prepare(self):
        text = Path(__file__).with_name("peers").joinpath("nginx.conf").read_text()
        mode = "master_process off;" if self.one_process else ""
        log = f"{self.log} combined buffer=32k" if self.log else "off"
        (self.work / "nginx.conf").write_text(text.format(port=self.port, root=self.root, work=self.work, mode=mode, log=log))

    def cpu_seconds(self):
        return sum(int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])
                   for pid in measure.processes(self.pid)) / 1e9


def weir(build, root=None, log=None, **more):
    files = ["--root", root] if root else []
    if log:
        files += ["--set", f"http.access_log={log}"]
    return Server(Program("weir, log" if log else "weir", [Path(build) / "samples/http", "--listen", "127.0.0.1:{port}", "--cores",
                                   str(measure.SERVER_CPU), *files]), **more)


def nginx_version():
    """Errors: Failure if it is not installed."""
    if not shutil.which("nginx") and not Path("/usr/sbin/nginx").exists():
        raise Failure("nginx is not installed")
    return subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True,
                          check=True).stderr.strip()


def table(rows, columns):
    """`columns`: (key, format); those that the first row lacks are left out."""
    columns = [c for c in columns if c[0] in rows[0]]
    lines = [[c for c, _ in columns]] + [[form.format(row[c]) if c in row else "-" for c, form in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * w for w in widths])
    return "\n".join("| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                       for i, (cell, w) in enumerate(zip(line, widths))) + " |" for line in lines)
