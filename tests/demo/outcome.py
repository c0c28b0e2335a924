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


def _print_row(*cells):
    print("{:<44} {:>10} {:>10}  {}".format(*cells).rstrip())


def _verdict(differences):
    return f"{len(differences)} DIFFERENCES" if differences else "identical"


def _print_phases(report):
    _print_row("Phase", "seconds", "", "")
    for phase, seconds in report.seconds.items():
        _print_row(phase, seconds, "", "")


def _print_sections(report, before, comparison):
    """Of a database the things that were compared are counted: tables, their
    rows' digests, roles and so on. Its bytes are in its server's line."""
    _print_row("Restored", "entries", "bytes", "compared with before")
    for section in sorted(comparison.keys() | report.counts.keys()):
        entries, size = report.counts.get(section, (len(before.get(section, {})), ""))
        if section in comparison:
            _print_row(section, entries, size, _verdict(comparison[section]))
        else:
            _print_row(f"{section}databases in the dump, bytes of SQL", entries, size, "")


def print_table(report, before, comparison):
    """Seconds of each phase; entries, bytes and verdict of each section; what
    differs, if anything."""
    print()
    _print_phases(report)
    print()
    _print_sections(report, before, comparison)
    differing = {section: lines for section, lines in comparison.items() if lines}
    if differing:
        print()
        state.print_comparison(differing)
