#!/usr/bin/python3
"""Refuses dangerous lines in policies/*.def: lint.py FILE... prints what is wrong and ends in 1 if anything is."""
import ctypes
import pathlib
import re
import sys
from typing import NamedTuple

# Each limits these places of the macro's arguments: (index, value) pairs, or (index, mask, value) for ALLOW_MASKED.
MACROS = {"ALLOW": 0, "ALLOW_IF": 2, "ALLOW_IF2": 4, "ALLOW_MASKED": 3}

# No policy may have these: the handler of forbidden calls ends with kexec_load (common/sandbox.c), the others run code
# in the kernel or make system calls that no filter sees.
NEVER = set("kexec_load kexec_file_load init_module finit_module bpf io_uring_setup io_uring_enter io_uring_register "
            "seccomp".split())

# A block comment of the file has to name these: house rule 6, and what else reaches beyond the process.
NEEDS_PARAGRAPH = set(
    "rt_sigaction execve execveat ptrace clone clone3 fork vfork socket open openat openat2 creat open_by_handle_at "
    "name_to_handle_at mount umount2 move_mount open_tree fsopen fsmount pivot_root chroot setns unshare mprotect "
    "pkey_mprotect memfd_create process_vm_readv process_vm_writev pidfd_open pidfd_getfd perf_event_open userfaultfd "
    "keyctl add_key request_key kill tkill tgkill rt_sigqueueinfo setuid setgid setresuid setresgid setgroups capset "
    "iopl ioperm modify_ldt reboot swapon swapoff bind listen accept accept4 connect sendmsg recvmsg".split())

# These arguments have to be limited, one line or another: without that the call is several calls.
NEEDS_LIMITS = {"socket": (0, 1), "socketpair": (0,), "open": (1,), "openat": (2,), "mmap": (2,), "mprotect": (2,),
                "pkey_mprotect": (2,), "ioctl": (1,), "fcntl": (1,), "prctl": (0,), "clone": (0,), "mknodat": (2,),
                "getsockopt": (1, 2), "setsockopt": (1, 2), "kill": (0,), "personality": (0,)}

SOCKET_FAMILIES = {"AF_UNIX", "AF_INET", "AF_INET6"}
SOCKET_TYPES = {"SOCK_STREAM", "SOCK_CLOEXEC", "SOCK_NONBLOCK"}
WRITING = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"}

# Sizes that are promised; a policy that is not named here has none.
MOST_SYSCALLS = {"supervisor": 18, "unpacker": 4, "fetcher": 16, "fetcher_file": 16, "docker_agent": 16}

EXACT_SYSCALLS = {"unpacker": {"read", "write", "exit", "exit_group"}}

LINE = re.compile(r'(\w+)\(([^"]*), "((?:[^"\\]|\\.)*)"\)')


class Rule(NamedTuple):
    line: int
    macro: str
    syscall: str
    limits: dict  # argument index: text of its value
    masks: dict   # argument index: text of its mask
    reason: str


class Policy(NamedTuple):
    name: str
    rules: list
    paragraphs: str  # text of all block comments
    problems: list   # (line, text)


def number_of(syscall):
    """The syscall's number on this machine's architecture, or None."""
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
    number = resolve(syscall.encode())
    return number if number >= 0 else None


def read_rule(number, text):
    """A Rule, or what is wrong with the line."""
    found = LINE.fullmatch(text)
    if not found:
        return 'not of the form MACRO(syscall, ..., "reason"), on one line'
    macro, inside, reason = found.groups()
    if macro not in MACROS:
        return f"unknown macro {macro}"
    syscall, *parts = [part.strip() for part in inside.split(",")]
    if len(parts) != MACROS[macro] or not all(parts):
        return f"{macro} takes {MACROS[macro]} parts between syscall and reason, not {len(parts)}"
    masks = {}
    if macro == "ALLOW_MASKED":
        masks = {parts[0]: parts.pop(1)}
    indices, values = parts[::2], parts[1::2]
    if not all(re.fullmatch("[0-5]", index) for index in indices) or len(set(indices)) != len(indices):
        return "an argument's index is 0 to 5, and each comes once"
    limits = {int(index): value for index, value in zip(indices, values)}
    return Rule(number, macro, syscall, limits, {int(index): mask for index, mask in masks.items()}, reason)


def read_policy(path):
    text = path.read_text(encoding="utf-8")
    comments = re.findall(r"/\*.*?\*/", text, re.S)
    bare = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.S)
    policy = Policy(path.stem, [], "\n".join(comments), [])
    for number, line in enumerate(bare.splitlines(), 1):
        if not line.strip():
            continue
        rule = read_rule(number, line.strip())
        if isinstance(rule, Rule):
            policy.rules.append(rule)
        else:
            policy.problems.append((number, rule))
    if not text.startswith("/*"):
        policy.problems.append((1, "the file begins with a comment that says whose policy it is"))
    return policy


def words(text):
    return set(re.findall(r"\w+", text))


def check_values(rule):
    """What is wrong with the values that the rule lets through."""
    if rule.syscall == "socket":
        if rule.limits.get(0) not in SOCKET_FAMILIES:
            yield f"socket is limited to one family of {', '.join(sorted(SOCKET_FAMILIES))} (argument 0)"
        kind = words(rule.limits.get(1, ""))
        if "SOCK_STREAM" not in kind or not kind <= SOCKET_TYPES:
            yield "socket is limited to SOCK_STREAM (argument 1)"
    if rule.syscall in ("mmap", "mprotect", "pkey_mprotect") and "PROT_EXEC" in words(rule.limits.get(2, "")):
        yield f"{rule.syscall} with PROT_EXEC"
    if rule.syscall in ("open", "openat"):
        flags = words(" ".join(rule.limits.values()))
        if flags & WRITING:
            yield f"{rule.syscall} with {', '.join(sorted(flags & WRITING))}: files are read, or opened by openat2"
    if rule.syscall == "ioctl" and words(rule.limits.get(1, "")) & {"TIOCSTI", "TIOCLINUX"}:
        yield "ioctl that types into a terminal"


def check_rule(rule, paragraphs):
    if number_of(rule.syscall) is None:
        yield f"no syscall {rule.syscall} on this architecture"
    if rule.syscall in NEVER:
        yield f"{rule.syscall} may be in no policy"
    if not words(rule.reason) or re.fullmatch(r"(?i)\W*(todo|fixme|xxx|reason|needed)\W*", rule.reason):
        yield "no reason"
    if rule.syscall in NEEDS_PARAGRAPH and rule.syscall not in words(paragraphs):
        yield f"{rule.syscall} needs a paragraph: a block comment that names it"
    unlimited = [index for index in NEEDS_LIMITS.get(rule.syscall, ()) if index not in rule.limits]
    if unlimited:
        yield f"{rule.syscall} needs a limit on argument {', '.join(map(str, unlimited))}"
    for index, mask in rule.masks.items():
        if re.fullmatch(r"0[xX]?0*", mask):
            yield f"a mask of 0 on argument {index} limits nothing"
    yield from check_values(rule)


def check_lines(rules):
    """What is wrong between lines of one syscall, as (line, text)."""
    seen = {}
    for rule in rules:
        others = seen.setdefault(rule.syscall, [])
        for other in others:
            if (rule.limits, rule.masks) == (other.limits, other.masks):
                yield rule.line, f"{rule.syscall}: the same as line {other.line}"
            elif not rule.limits or not other.limits:
                yield rule.line, f"{rule.syscall}: an ALLOW beside a limited line voids it (line {other.line})"
        others.append(rule)


def lint(path):
    """[(line, what is wrong)], empty for a sound policy."""
    policy = read_policy(path)
    problems = policy.problems + list(check_lines(policy.rules))
    for rule in policy.rules:
        problems += [(rule.line, problem) for problem in check_rule(rule, policy.paragraphs)]
    syscalls = {rule.syscall for rule in policy.rules}
    if policy.name in EXACT_SYSCALLS and syscalls != EXACT_SYSCALLS[policy.name]:
        problems.append((1, f"{policy.name} is promised to need exactly {' '.join(sorted(EXACT_SYSCALLS[policy.name]))}"))
    most = MOST_SYSCALLS.get(policy.name)
    if most is not None and len(syscalls) > most:
        problems.append((1, f"{len(syscalls)} syscalls; {policy.name} is promised to need no more than {most}"))
    if not syscalls:
        problems.append((1, "no rules"))
    return sorted(problems)


def main(paths):
    if not paths:
        sys.exit("usage: lint.py FILE...")
    found = 0
    for path in map(pathlib.Path, paths):
        for line, problem in lint(path):
            print(f"{path}:{line}: {problem}")
            found += 1
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
