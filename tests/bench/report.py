"""What the benchmarks found: bench.json, a table, and a plot of the ratios."""
import html
import json

import measure

RATE = "MB/s"  # more of it is better; of every other unit less is
BAR_HEIGHT, LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH, TOP = 20, 520, 360, 250, 44


class Report:
    def __init__(self):
        self.rows = []
        self.details = {}

    def add(self, case, metric, unit, ours, against, other, goal=None):
        """ratio: ours / other in the unit. goal: what the ratio should be, as text."""
        row = {"case": case, "metric": metric, "unit": unit, "ours": round(ours, 3), "against": against,
               "other": round(other, 3), "ratio": round(ours / other, 3) if other else None}
        if goal:
            row["goal"] = goal
        self.rows.append(row)
        print("   ", line_of(row), flush=True)

    def add_rounds(self, case, metric, unit, ours, against, other, goal=None):
        """The best round and the median one; the goal is about the median."""
        best = max if unit == RATE else min
        self.add(case, f"{metric}, best", unit, best(ours), against, best(other))
        self.add(case, f"{metric}, median", unit, measure.STATISTICS["median"](ours), against,
                 measure.STATISTICS["median"](other), goal)

    def detail(self, case, value):
        self.details.setdefault(case, []).append(value)

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        (folder / "details.json").write_text(json.dumps(self.details, indent=1) + "\n", encoding="utf-8")
        (folder / "bench.svg").write_text(plot(self.rows), encoding="utf-8")

    def show(self):
        print(f"\n{'case':<36} {'metric':<17} {'ours':>10} {'other':>10} {'unit':<5} {'ratio':>7}  {'goal':<8} against")
        for row in self.rows:
            print(line_of(row))


def line_of(row):
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3f}"
    return (f"{row['case']:<36} {row['metric']:<17} {row['ours']:>10.2f} {row['other']:>10.2f} {row['unit']:<5} {ratio:>7}"
            f"  {row.get('goal', ''):<8} {row['against']}")


def is_good(row):
    """Within its goal, or better than the other where it has none."""
    sign, bound = row.get("goal", ">= 1" if row["unit"] == RATE else "<= 1").split()
    return row["ratio"] >= float(bound) if sign == ">=" else row["ratio"] <= float(bound)


def bar(row, y, scale):
    length = min(row["ratio"] * scale, BAR_WIDTH)
    colour = "#2a7f62" if is_good(row) else "#c46a2b"
    label = html.escape(f"{row['case']}: {row['metric']} against {row['against']}".replace(", median", ""))
    value = html.escape(f"{row['ratio']:.2f}  ({row['ours']:.4g} : {row['other']:.4g} {row['unit']})")
    middle = y + BAR_HEIGHT * 0.68
    return (f'<text x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end">{label}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{y + 3}" width="{length:.1f}" height="{BAR_HEIGHT - 6}" fill="{colour}"/>'
            f'<text x="{LABEL_WIDTH + length + 6:.1f}" y="{middle}">{value}</text>')


def plot(rows):
    """Bars of ours / other; the medians alone, since the best rounds say nearly the same."""
    shown = [row for row in rows if row["ratio"] is not None and not row["metric"].endswith(", best")]
    largest = max([1.2, *(min(row["ratio"], 5) for row in shown)])
    scale = BAR_WIDTH / largest
    height = TOP + BAR_HEIGHT * len(shown) + 12
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    one = LABEL_WIDTH + scale
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             f'font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
             '<text x="12" y="18" font-size="14">restore / other, medians: of seconds and MiB less is better, of MB/s more; '
             'green: within the goal</text>',
             *(bar(row, TOP + BAR_HEIGHT * number, scale) for number, row in enumerate(shown)),
             f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{height - 8}" stroke="#444" stroke-dasharray="3 3"/>',
             f'<text x="{one:.1f}" y="{TOP - 12}" text-anchor="middle">1</text>', "</svg>"]
    return "\n".join(parts) + "\n"
