"""What the measuring scripts of perf/ share: running the tools with progress, what machine it is,
numbers and tables.
"""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SILENCE_MAX_S = 20  # a log shows life at least this often
OTHERS_MAX = 15     # percent of a core that others, or the machine's host, may take of a run


def built(path, target):
    """The path, if the program is there; otherwise ends the script with what to do."""
    if not os.access(path, os.X_OK):
        sys.exit(f"{os.path.basename(sys.argv[0])}: no program {path}: "
                 f"cmake --preset release && ninja -C build/release {target}")
    return path


def writable(*paths):
    """Ends the script before it measures for minutes what it could not write down."""
    for path in paths:
        try:
            if path and path != "-":
                open(path, "a", encoding="utf-8").close()
        except OSError as problem:
            sys.exit(f"{os.path.basename(sys.argv[0])}: {path}: {problem.strerror}")


def output_of(command):
    try:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def first_of(path, key):
    """The value of the first line `key : value`."""
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ""


def machine():
    """What a figure depends on, as texts by name, in the order to be shown."""
    cpu = first_of("/proc/cpuinfo", "model name") or platform.machine()
    virtual = " hypervisor" in " " + first_of("/proc/cpuinfo", "flags")
    total_kb = first_of("/proc/meminfo", "MemTotal").split()
    told = {"cpu": cpu + (", a virtual machine" if virtual else ""),
            "cpus": str(len(os.sched_getaffinity(0))),
            "memory": f"{int(total_kb[0]) / 1048576:.1f} GiB" if total_kb else "unknown",
            "kernel": f"{platform.system()} {platform.release()}"}
    commit = output_of(["git", "describe", "--always", "--dirty"])
    if commit:
        told["commit"] = commit
    told["load"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    told["date"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return told


def machine_line(told):
    """The machine in one line of a document."""
    text = f"{told['cpu']}; {told['cpus']} CPUs, {told['memory']}, {told['kernel']}"
    return text + (f"; commit {told['commit']}" if "commit" in told else "")


class Progress:
    """On a terminal one live line; elsewhere a line when a step begins, and one for each
    SILENCE_MAX_S that it lasts. To standard error, so that results can be kept apart."""

    def __init__(self, steps, about_s):
        self.steps, self.left_s = steps, about_s
        self.step, self.label, self.step_about_s = 0, "", 0
        self.started = self.begun = self.told = time.monotonic()
        self.live = sys.stderr.isatty()

    def elapsed_s(self):
        return time.monotonic() - self.started

    def _text(self):
        now = time.monotonic()
        left_s = self.left_s + max(0, self.step_about_s - (now - self.begun))
        return (f"[{self.step}/{self.steps}] {self.elapsed_s():4.0f} s, "
                f"about {left_s:.0f} s to go: {self.label}")

    def begin(self, label, about_s):
        self.step += 1
        self.label, self.step_about_s = label, about_s
        self.left_s -= about_s
        self.begun = self.told = time.monotonic()
        if self.live:
            self.tick()
        else:
            print(self._text(), file=sys.stderr, flush=True)

    def tick(self):
        now = time.monotonic()
        if self.live:
            print(f"\r\033[K{self._text()}"[:120], end="", file=sys.stderr, flush=True)
        elif now - self.told >= SILENCE_MAX_S:
            self.told = now
            print(self._text(), file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def process_ticks(pid):
    """Of one process, and of its children that it has waited for; 0 if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            rest = file.read().rpartition(")")[2].split()
        return sum(map(int, rest[11:15]))
    except (OSError, ValueError):
        return 0


def cpu_s():
    """CPU time that the whole machine has used, that the host took from it, and that programs which
    this script started and waited for (with all that they waited for) have used. The first is
    summed over processes: /proc/stat is made by looking at each tick who runs, and a load that
    comes every millisecond is always there at a tick, or never."""
    tick = os.sysconf("SC_CLK_TCK")
    used = sum(process_ticks(pid) for pid in os.listdir("/proc") if pid.isdigit())
    with open("/proc/stat", encoding="utf-8") as file:
        stolen = int(file.readline().split()[8])
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used / tick, stolen / tick, ours.ru_utime + ours.ru_stime


def run_tool(command, progress, timeout_s=300):
    """One run of a program that ends with one JSON line; gives its figures, or None and why. Added
    are what others used of the machine and what its host took, both in percent of a core."""
    begun, before = time.monotonic(), cpu_s()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            try:
                out, complaint = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                progress.tick()
                if time.monotonic() - begun > timeout_s:
                    process.kill()
                    process.communicate()
                    return None, f"no end after {timeout_s} s"
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    wall_s = time.monotonic() - begun
    all_s, stolen_s, ours_s = (now - then for now, then in zip(cpu_s(), before))
    try:
        figures = json.loads(out)
        # Scenarios that look for themselves look only while it matters.
        figures.setdefault("others_percent", max(0, all_s - ours_s) / wall_s * 100)
        figures["stolen_percent"] = stolen_s / wall_s * 100
        return figures, None
    except ValueError:
        said = complaint.replace("\r", "\n").strip().splitlines()
        return None, (said or [f"exit status {process.returncode}, and nothing said"])[-1]


def median_of(values):
    return statistics.median(values) if values else None


def spread_of(values):
    """How far the runs were apart, as a share of the median; None for fewer than two."""
    if len(values) < 2 or median_of(values) == 0:
        return None
    return (max(values) - min(values)) / abs(median_of(values))


def percent(share):
    return "" if share is None else f"{share * 100:.0f} %"


def number(value):
    """Four digits, large numbers in groups of three."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}"


def grouped(texts):
    """Texts that differ only in numbers become one, with how often."""
    kinds = {}
    for text in texts:
        kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append(text)
    return [alike[0] + (f" ({len(alike)} times)" if len(alike) > 1 else "")
            for alike in kinds.values()]


def text_table(rows, left):
    """Aligned columns; `left` are the numbers of those that hold words."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if i in left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(rows, left):
    """The first row is the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join(" --- " if i in left else " ---: "
                                   for i in range(len(rows[0]))) + "|")
    return "\n".join(lines)
