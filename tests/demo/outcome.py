"""What a restore reported about itself, and the table that the demo ends with."""
import dataclasses
import re

import state

PHASE = re.compile(r"  Phase (\d: .+?) +([\d.]+) s")
STREAM = re.compile(r"  (Volume|PostgreSQL|MariaDB) +(.+?) +(\d+) (?:entries|databases) +(.+)")
DOWNTIME = re.compile(r"  (Downtime): ([\d.]+) s of .*")


@dataclasses.dataclass
class Report:
    """Of the summary at the end of a restore."""
    seconds: dict = dataclasses.field(default_factory=dict)  # phase to seconds
    counts: dict = dataclasses.field(default_factory=dict)   # section to (entries, bytes), as printed


def section_of(kind, name):
    """The section of the state that a line of the summary is about; of a
    server, which has several, their common beginning."""
    return f"volume {name}" if kind == "Volume" else f"{name}: "


def read_report(lines):
    report = Report()
    for line in lines:
        if match := PHASE.fullmatch(line) or DOWNTIME.fullmatch(line):
            report.seconds[match[1]] = match[2]
        elif match := STREAM.fullmatch(line):
            report.counts[section_of(match[1], match[2])] = match[3], match[4]
    return report


def _verdict(differences):
    return f"{len(differences)} DIFFERENCES" if differences else "identical"


def _print_row(*cells):
    print("{:<44} {:>10} {:>10}  {}".format(*cells).rstrip())


def _print_section(report, section, things, differences):
    """Of a database the things that were compared are counted: tables, their
    rows' digests, roles and so on; its bytes are on its server's line."""
    entries, size = report.counts.get(section, (things, ""))
    _print_row(section, entries, size, _verdict(differences))


def print_table(report, before, comparison):
    """Seconds of each phase; entries, bytes and verdict of each section."""
    print()
    _print_row("Phase", "seconds", "", "")
    for phase, seconds in report.seconds.items():
        _print_row(phase, seconds, "", "")
    print()
    _print_row("Restored", "entries", "bytes", "against the state before")
    for section, differences in comparison.items():
        _print_section(report, section, len(before.get(section, {})), differences)
    for server, (databases, size) in report.counts.items():
        if server.endswith(": "):
            _print_row(f"{server}the dump's databases and bytes", databases, size, "")
    differing = {section: lines for section, lines in comparison.items() if lines}
    if differing:
        print()
        state.print_comparison(differing)
