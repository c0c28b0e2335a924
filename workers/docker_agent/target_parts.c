/* Which mounts of a container lie at or below a path; see targets.h. Pure. */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "stack.h"
#include "targets.h"

bool path_within(const char *path, const char *ancestor)
{
    size_t length = strlen(ancestor);
    if (length == 1) { /* "/" */
        return path[0] == '/';
    }
    return strncmp(path, ancestor, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* What follows `ancestor` in `path`, without a slash. */
static const char *path_below(const char *path, const char *ancestor)
{
    const char *rest = path + (strlen(ancestor) == 1 ? 0 : strlen(ancestor));
    return rest + strspn(rest, "/");
}

static bool names_socket(const char *source)
{
    const char *base = strrchr(source, '/');
    base = base == NULL ? source : base + 1;
    return strcmp(base, "docker.sock") == 0 || strcmp(base, "podman.sock") == 0;
}

/* A bind of the Engine's socket, or of a directory that holds it. */
static bool holds_socket(const struct container_mount *mount, const char *socket)
{
    static const char *const usual[] = {"/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"};
    if (strcmp(mount->type, "bind") != 0) {
        return false;
    }
    bool holds = names_socket(mount->source) || path_within(socket, mount->source);
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        holds = holds || path_within(usual[i], mount->source);
    }
    return holds;
}

static void refuse_mount(const struct container_mount *mount, const char *socket, struct target_parts *out)
{
    bool known = strcmp(mount->type, "volume") == 0 || strcmp(mount->type, "bind") == 0;
    if (holds_socket(mount, socket)) {
        snprintf(out->refusal, sizeof out->refusal,
                 "%.300s is a bind of %.300s, which is or holds the Docker Engine's socket; it is never restored",
                 mount->destination, mount->source);
    } else if (strcmp(mount->type, "tmpfs") == 0) {
        snprintf(out->refusal, sizeof out->refusal,
                 "%.600s is a tmpfs, whose contents end with the container; take it out of the backup's label",
                 mount->destination);
    } else if (!known) {
        snprintf(out->refusal, sizeof out->refusal, "%.600s is a mount of type %.32s, which cannot be restored",
                 mount->destination, mount->type);
    }
}

static const struct container_mount *covering(const struct container *container, const char *path)
{
    const struct container_mount *deepest = NULL;
    for (size_t i = 0; i < container->mount_count; i++) {
        const struct container_mount *mount = &container->mounts[i];
        if (path_within(path, mount->destination) &&
            (deepest == NULL || strlen(mount->destination) > strlen(deepest->destination))) {
            deepest = mount;
        }
    }
    return deepest;
}

static void add_part(struct target_parts *out, const struct container_mount *mount, const char *subpath,
                     const char *prefix, const char *socket)
{
    out->parts[out->count++] = (struct target_part){mount, subpath, prefix};
    if (out->refusal[0] == '\0') {
        refuse_mount(mount, socket, out);
    }
}

int target_resolve(const struct container *container, const char *path, const char *socket, struct target_parts *out)
{
    *out = (struct target_parts){0};
    if (path_normalise(path, out->path, sizeof out->path) != 0 || strcmp(out->path, "/") == 0) {
        snprintf(out->refusal, sizeof out->refusal,
                 "the path %.600s is not an absolute path below / without '..'; correct the label", path);
        return 0;
    }
    out->parts = calloc(container->mount_count + 1, sizeof *out->parts);
    if (out->parts == NULL) {
        return -1;
    }
    const struct container_mount *above = covering(container, out->path);
    if (above != NULL) {
        out->covered = true;
        add_part(out, above, path_below(out->path, above->destination), "", socket);
    }
    for (size_t i = 0; i < container->mount_count; i++) {
        const struct container_mount *mount = &container->mounts[i];
        if (mount != above && path_within(mount->destination, out->path)) {
            add_part(out, mount, "", path_below(mount->destination, out->path), socket);
        }
    }
    return 0;
}

void target_parts_free(struct target_parts *parts)
{
    free(parts->parts);
    parts->parts = NULL;
    parts->count = 0;
}

bool plan_mount_overlaps(const struct plan_mount *mount, const char *type, const char *name, const char *source)
{
    if (mount->is_volume && strcmp(type, "volume") == 0 && strcmp(mount->name, name) == 0) {
        return true;
    }
    if (source[0] != '/' || mount->source[0] != '/' || strcmp(type, "tmpfs") == 0) {
        return false;
    }
    return path_within(source, mount->source) || path_within(mount->source, source);
}
