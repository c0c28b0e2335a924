"""The S3 server as the benchmarks use it: a bucket of their own, objects put there, curl's arguments for it."""
import pathlib
import subprocess
import tempfile

import stack

BUCKET = "bench"
BATCH = 5000  # uploads of one curl


def settings():
    return stack.rgw_env()


def credentials():
    """The variables that `restore` takes."""
    return {name: settings()[name] for name in
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")}


def make_bucket():
    stack.aws("s3", "mb", f"s3://{BUCKET}")


def remove_bucket():
    try:
        stack.aws("s3", "rb", "--force", f"s3://{BUCKET}")
    except stack.CommandFailed as error:
        print(f"bench: the bucket stays: {error}")


def put(path, prefix):
    """Uploads a file and returns its key."""
    key = f"{prefix}/{pathlib.Path(path).name}"
    stack.aws("s3", "cp", "--only-show-errors", str(path), f"s3://{BUCKET}/{key}")
    return key


def clear(prefix):
    stack.aws("s3", "rm", "--recursive", "--quiet", f"s3://{BUCKET}/{prefix}/")


def curl_arguments():
    """So that curl signs as the S3 tools do (it has no option for the header that S3 asks for)."""
    values = settings()
    return ["--noproxy", "*", "--aws-sigv4", f"aws:amz:{values['AWS_DEFAULT_REGION']}:s3",
            "--user", f"{values['AWS_ACCESS_KEY_ID']}:{values['AWS_SECRET_ACCESS_KEY']}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]


def _put_batch(keys, content):
    endpoint = settings()["AWS_ENDPOINT_URL"]
    lines = [f'upload-file = "{content}"\nurl = "{endpoint}/{BUCKET}/{key}"\n' for key in keys]
    config = "next\n".join(lines)
    # Each transfer after `next` starts without options: it gets them again.
    common = "".join(f'{name} = "{value}"\n' for name, value in _config_options())
    config = common + config.replace("next\n", "next\n" + common)
    subprocess.run(["curl", "-sS", "--no-progress-meter", "-Z", "--parallel-max", "32", "-K", "-"], input=config.encode(), check=True,
                   stdout=subprocess.DEVNULL)


def _config_options():
    names = iter(curl_arguments())
    for name in names:
        option = {"-H": "header"}.get(name, name.lstrip("-"))
        yield option, next(names).replace("\\", "\\\\").replace('"', '\\"')


def put_many(keys):
    """Small objects, many at once: awscli would take minutes for thousands."""
    with tempfile.NamedTemporaryFile() as content:
        content.write(b"as if an archive")
        content.flush()
        for at in range(0, len(keys), BATCH):
            _put_batch(keys[at:at + BATCH], content.name)
