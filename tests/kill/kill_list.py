"""Kill points: read from the trace of a whole run, chosen so that every frame and every process has its turn."""
import dataclasses
import random

# How often these come depends on time: only their first is a point.
CLOCKED = {"fetched", "unpacking", "staging", "loading", "database_ready", "database_readiness", "warning",
           "stager_warning"}
# Answers after which something on disk or in the Engine is different: they may be lost, with the deed done.
DEEDS = {"locked", "prepared", "noted", "swapped", "act_end", "layer_done", "load_end", "database_done", "removed", "stage_end",
         "undo_dumped"}
SWAPPING = ("copy_root", "commit", "conclude", "undo", "clean")
DELAYS = (300, 900, 2000, 4500, 10000, 25000)  # microseconds; a small swap takes some 20 ms
BEFORE, WINDOW, AFTER = "before the stop", "between stop and commit", "after the commit"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame of a traced run."""
    direction: str
    message: str
    occurrence: int
    alive: tuple
    stretch: str

    @property
    def key(self):
        return f"{self.direction} {self.message} {self.occurrence}"


@dataclasses.dataclass(frozen=True)
class Point:
    """Kill `victim` at a frame; `again`: the same for the recovery that follows."""
    kind: str
    frame: Frame
    victim: str
    delay: int = 0
    again: "Point" = None

    @property
    def variable(self):
        return f"{self.frame.key} {self.victim} {self.delay}"

    def __str__(self):
        text = f"{self.kind}: {self.victim} at {self.frame.key}"
        text += f" + {self.delay} us" if self.delay else ""
        return text + (f", then in the recovery {self.again.victim} at {self.again.frame.key}" if self.again else "")


def read_trace(path):
    """The frames of a run in their order, told apart by the stop (the first `act`) and the answer to `conclude`."""
    frames, stretch, concluding = [], BEFORE, False
    for line in path.read_text().splitlines():
        direction, message, occurrence, alive = line.split(" ")
        if message == "act" and stretch == BEFORE:
            stretch = WINDOW
        if concluding and message == "swapped":
            stretch = AFTER
        frames.append(Frame(direction, message, int(occurrence), tuple(alive.split(",")), stretch))
        concluding = concluding or message == "conclude"
    return [frame for frame in frames if frame.message not in CLOCKED or frame.occurrence == 1]


def victims(frame):
    """All that can be killed at a frame, the whole run first."""
    return ["all", *frame.alive]


def rotate(kind, frames, each, offset=0):
    """`each` different victims a frame; which ones moves on from frame to frame."""
    points = []
    for number, frame in enumerate(frames):
        choice = victims(frame)
        for turn in range(min(each, len(choice))):
            points.append(Point(kind, frame, choice[(number * each + turn + offset) % len(choice)]))
    return points


def swap_points(kind, frames):
    """Stepped moments within each verb that renames, copies or removes; the stager alone may outlive its supervisor."""
    verbs = [frame for frame in frames if frame.direction == "send" and frame.message in SWAPPING]
    return [Point(kind, frame, victim, delay) for frame in verbs for delay in DELAYS for victim in ("stager", "all", "supervisor")]


def lost_answers(kind, frames):
    """The docker-agent dies with a deed done and before it says so."""
    return [Point(kind, dataclasses.replace(frame, direction="lose"), "agent") for frame in frames
            if frame.direction == "receive" and frame.message in DEEDS]


def of_stretcher(kind, frames):
    """It lives for a few frames only: at each of them it is the victim."""
    return [Point(kind, frame, "stretcher") for frame in frames if "stretcher" in frame.alive]


def of_stretch(frames, *stretches):
    return [frame for frame in frames if frame.stretch in stretches]


def from_dump(frames):
    """The window from the undo dump on: before it, and after the commit, nothing is different from the other stack."""
    begin = next(number for number, frame in enumerate(frames) if frame.message == "undo_dump")
    return of_stretch(frames[begin:], WINDOW)


def choose(volumes, databases, layers):
    """The points of the whole run, from the traces of the three stacks."""
    known = {frame.message for frame in volumes}
    only_databases = [frame for frame in of_stretch(databases, BEFORE) if frame.message not in known]
    points = rotate("volumes", of_stretch(volumes, BEFORE, AFTER), 1)
    points += rotate("volumes", of_stretch(volumes, WINDOW), 2)
    points += of_stretcher("volumes", volumes)
    points += rotate("databases", of_stretch(databases, WINDOW), 1)
    points += rotate("databases", only_databases, 1)
    points += rotate("databases", of_stretch(databases, AFTER)[::4], 1)
    points += swap_points("volumes", volumes)
    points += lost_answers("volumes", volumes) + lost_answers("databases", of_stretch(databases, WINDOW))[::2]
    points += swap_points("databases", of_stretch(databases, WINDOW))[::4]
    points += rotate("undo dumps", from_dump(layers), 1) + lost_answers("undo dumps", from_dump(layers))
    return points


def first_kills(kind, frames):
    """Where a run is killed whose recovery is then killed too: after the swap, while loading, after the commit."""
    wanted = {"receive swapped 1", "receive swapped 3", "send load_run 1", "send database_finish 1", "send conclude 1",
              "send clean 1"}
    return [Point(kind, frame, "all") for frame in frames if frame.key in wanted]


def second_kills(first, recovery):
    """Points of a recovery's own frames, once it works on what the first kill left."""
    begin = next(number for number, frame in enumerate(recovery) if frame.message == "leftovers_end")
    return [dataclasses.replace(first, again=point) for point in rotate(first.kind, recovery[begin:], 1)]


def shuffled(points, seed):
    mixed = list(dict.fromkeys(points))
    random.Random(seed).shuffle(mixed)
    return mixed
