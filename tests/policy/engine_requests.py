"""Writes what is made from workers/docker_agent/engine_requests.def: README's table of requests to the Docker Engine and the
allowlist in policies/docker-proxy.cfg. With --check it only says which of them differs."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "workers/docker_agent/engine_requests.def"
PARTS = {"{id}": "[0-9a-f]{64}", "{name}": "[A-Za-z0-9_-][A-Za-z0-9_.-]*",
         "{image}": "[A-Za-z0-9_-][A-Za-z0-9_.-]*(%(3A|2F|40)[A-Za-z0-9_-][A-Za-z0-9_.-]*)*"}
README = ("<!-- engine requests: made by make engine-requests -->\n", "<!-- end of engine requests -->\n")
PROXY = ("    # made from here\n", "    # to here\n")


def rows():
    """(method, path, names of the query, purpose, when) of every line."""
    found = re.findall(r'^ENGINE_REQUEST\("(\w+)", "([^"]+)", "([^"]*)", "([^"]+)", "([^"]+)"\)$', TABLE.read_text(), re.M)
    assert len(found) == len(re.findall(r"^ENGINE_REQUEST\(", TABLE.read_text(), re.M)), "a line that cannot be read"
    return found


def pattern(path):
    return "".join(PARTS.get(part, re.escape(part)) for part in re.split(r"(\{\w+\})", path))


def readme_table():
    lines = ["| request | purpose | phase |", "|---|---|---|"]
    for method, path, query, purpose, when in rows():
        names = f"?{'&'.join(query.split())}" if query else ""
        lines.append(f"| `{method} {path}{names}` | {purpose} | {when} |")
    return "\n".join(lines) + "\n"


def proxy_rules():
    lines = []
    for method, path, query, _, _ in rows():
        version = "" if path == "/version" else "/v1\\.[0-9]+"
        words = "|".join(word if "=" in word else f"{word}=[^&]*" for word in query.split())
        names = f"(\\?(({words})(&|$))*)?" if query else ""
        lines.append(f"    acl permitted var(sess.request) -m reg '^{method} {version}{pattern(path)}{names}$'")
    return "\n".join(lines) + "\n"


def between(text, marks, content):
    before, rest = text.split(marks[0], 1)
    return before + marks[0] + content + marks[1] + rest.split(marks[1], 1)[1]


def main():
    differing = []
    for name, marks, content in (("README.md", README, readme_table()), ("policies/docker-proxy.cfg", PROXY, proxy_rules())):
        file = ROOT / name
        made = between(file.read_text(), marks, content)
        if made != file.read_text():
            differing.append(name)
            if "--check" not in sys.argv:
                file.write_text(made)
    if "--check" in sys.argv and differing:
        sys.exit(f"{', '.join(differing)}: not as engine_requests.def says; run make engine-requests")


if __name__ == "__main__":
    main()
