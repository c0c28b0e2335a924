/* Containers as the Engine describes them, paths, and which mounts a label's path has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "workers/docker_agent/stack.h"
#include "workers/docker_agent/targets.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SOCKET "/srv/engine/docker.sock"

static const char inspect[] =
    "{\"Id\":\"" ID "\",\"Name\":\"/app-web-1\",\"Image\":\"sha256:1\","
    "\"State\":{\"Status\":\"running\",\"ExitCode\":3,\"Health\":{\"Status\":\"healthy\"}},"
    "\"Config\":{\"Image\":\"web\",\"User\":\"1000\",\"Labels\":{\"com.docker.compose.service\":\"web\","
    "\"com.docker.compose.container-number\":\"2\",\"com.docker.compose.oneoff\":\"True\","
    "\"com.docker.compose.depends_on\":\"db:service_healthy:false\",\"backup.volume-path.a.b\":\"/data\","
    "\"backup.volume-path.a-b\":\"/other\"}},"
    "\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":4},"
    "\"Tmpfs\":{\"/tmp/x\":\"\"},"
    "\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/data/\",\"VolumeOptions\":{\"Subpath\":\"in/"
    "it\"}}]},"
    "\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.1.0.2\",\"GlobalIPv6Address\":\"\"},"
    "\"b\":{\"IPAddress\":\"172.2.0.2\",\"GlobalIPv6Address\":\"fd00::2\"}}},"
    "\"Mounts\":[{\"Type\":\"volume\",\"Name\":\"v\",\"Source\":\"/var/lib/docker/volumes/v/_data\",\"Destination\":"
    "\"/data\",\"RW\":true},{\"Type\":\"bind\",\"Source\":\"/srv/x\",\"Destination\":\"/data/x\",\"RW\":false}]}";

static void a_container_is_read(void **state)
{
    (void)state;
    struct container container;
    cJSON *json = cJSON_Parse(inspect);
    assert_non_null(json);
    assert_int_equal(container_parse(json, "0123456789ab", &container), 0);
    assert_string_equal(container.id, ID);
    assert_string_equal(container.name, "app-web-1");
    assert_string_equal(container.service, "web");
    assert_int_equal(container.number, 2);
    assert_true(container.oneoff && container.self && !container.swarm);
    assert_string_equal(container.state, "running");
    assert_string_equal(container.health, "healthy");
    assert_int_equal(container.exit_code, 3);
    assert_string_equal(container.restart_policy, "on-failure");
    assert_int_equal(container.restart_retries, 4);
    assert_int_equal(container.address_count, 3);
    assert_string_equal(container.addresses[2], "fd00::2");
    assert_string_equal(container_label_path(&container, "a.b"), "/data");
    assert_string_equal(container_label_path(&container, "a-b"), "/other");
    assert_null(container_label_path(&container, "a"));
    assert_int_equal(container.mount_count, 3);
    assert_string_equal(container.mounts[0].subpath, "in/it");
    assert_string_equal(container.mounts[1].subpath, "");
    assert_true(container.mounts[1].read_only);
    assert_string_equal(container.mounts[2].type, "tmpfs");
    container_free(&container);
    cJSON_Delete(json);
}

static void odd_answers_are_no_containers(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "{}",
        "[]",
        "null",
        "{\"Id\":7}",
        "{\"Id\":\"0123\"}",
        "{\"Id\":\"../456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct container container;
        cJSON *json = cJSON_Parse(answers[i]);
        assert_int_equal(container_parse(json, "", &container), -1);
        container_free(&container);
        cJSON_Delete(json);
    }
}

static void wrong_types_are_as_good_as_missing(void **state)
{
    (void)state;
    struct container container;
    cJSON *json = cJSON_Parse("{\"Id\":\"" ID "\",\"Name\":[],\"Config\":{\"Labels\":{\"backup.volume-path.x\":1}},"
                              "\"Mounts\":[1,null,{\"Type\":{}}],\"HostConfig\":{\"Tmpfs\":[\"a\"]},"
                              "\"State\":{\"ExitCode\":-1e300}}");
    int result = container_parse(json, "", &container);
    if (result == 0) {
        assert_int_equal(container.label_count, 0);
        assert_int_equal(container.exit_code, 0);
        assert_false(container.self);
    }
    container_free(&container);
    cJSON_Delete(json);
}

static void paths_are_normalised(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"/", "/"},
        {"//", "/"},
        {"/.", "/"},
        {"/a", "/a"},
        {"/a/", "/a"},
        {"//a//b/./c/", "/a/b/c"},
        {"/..a/b..", "/..a/b.."},
        {"/a b\n", "/a b\n"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(path_normalise(pairs[i][0], out, sizeof out), 0);
        assert_string_equal(out, pairs[i][1]);
    }
    static const char *const refused[] = {"", "a", "a/b", "./a", "/..", "/a/../b", "/a/.."};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(path_normalise(refused[i], out, sizeof out), -1);
    }
    char small[6];
    assert_int_equal(path_normalise("/abcd", small, sizeof small), 0);
    assert_int_equal(path_normalise("/abcde", small, sizeof small), -1);
}

static struct container_mount mount(const char *type, const char *source, const char *destination)
{
    bool is_volume = strcmp(type, "volume") == 0;
    static char empty[] = "";
    return (struct container_mount){(char *)type,
                                    is_volume ? (char *)source : empty,
                                    is_volume ? empty : (char *)source,
                                    (char *)destination,
                                    empty,
                                    false};
}

static void the_deepest_mount_covers(void **state)
{
    (void)state;
    struct container_mount mounts[] = {mount("volume", "a", "/data"), mount("volume", "b", "/data/sub"),
                                       mount("bind", "/srv/c", "/data/sub/deep"), mount("volume", "d", "/database")};
    struct container container = {.mounts = mounts, .mount_count = 4};
    struct target_parts parts;

    assert_int_equal(target_resolve(&container, "/data", SOCKET, &parts), 0);
    assert_true(parts.covered);
    assert_int_equal(parts.count, 3);
    assert_ptr_equal(parts.parts[0].mount, &mounts[0]);
    assert_string_equal(parts.parts[0].prefix, "");
    assert_string_equal(parts.parts[1].prefix, "sub");
    assert_string_equal(parts.parts[2].prefix, "sub/deep");
    target_parts_free(&parts);

    assert_int_equal(target_resolve(&container, "/data/sub/x/y/", SOCKET, &parts), 0);
    assert_int_equal(parts.count, 1);
    assert_ptr_equal(parts.parts[0].mount, &mounts[1]);
    assert_string_equal(parts.parts[0].subpath, "x/y");
    target_parts_free(&parts);

    assert_int_equal(target_resolve(&container, "/dat", SOCKET, &parts), 0);
    assert_false(parts.covered);
    assert_int_equal(parts.count, 0);
    target_parts_free(&parts);
}

static void mounts_below_an_uncovered_path_are_told(void **state)
{
    (void)state;
    struct container_mount mounts[] = {mount("volume", "a", "/srv/app/data")};
    struct container container = {.mounts = mounts, .mount_count = 1};
    struct target_parts parts;
    assert_int_equal(target_resolve(&container, "/srv/app", SOCKET, &parts), 0);
    assert_false(parts.covered);
    assert_int_equal(parts.count, 1);
    assert_string_equal(parts.parts[0].prefix, "data");
    target_parts_free(&parts);
}

static void what_cannot_be_restored_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *source;
        const char *word; /* of the refusal; NULL: none */
    } cases[] = {
        {"bind", "/var/run/docker.sock", "socket"},
        {"bind", "/run/docker.sock", "socket"},
        {"bind", "/run", "socket"},
        {"bind", "/", "socket"},
        {"bind", "/srv/engine", "socket"},
        {"bind", "/home/me/docker.sock", "socket"},
        {"tmpfs", "", "tmpfs"},
        {"npipe", "x", "npipe"},
        {"bind", "/srv/data", NULL},
        {"volume", "docker.sock", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct container_mount mounts[] = {mount("volume", "v", "/data"),
                                           mount(cases[i].type, cases[i].source, "/data/it")};
        struct container container = {.mounts = mounts, .mount_count = 2};
        static const char *const paths[] = {"/data", "/data/it", "/data/it/below"};
        for (size_t k = 0; k < 3; k++) {
            struct target_parts parts;
            assert_int_equal(target_resolve(&container, paths[k], SOCKET, &parts), 0);
            if (cases[i].word == NULL) {
                assert_string_equal(parts.refusal, "");
            } else {
                assert_non_null(strstr(parts.refusal, cases[i].word));
                assert_non_null(strstr(parts.refusal, "/data/it"));
            }
            target_parts_free(&parts);
        }
    }
}

static void odd_label_paths_are_refused(void **state)
{
    (void)state;
    struct container container = {0};
    static const char *const paths[] = {"", "/", "//.", "data", "/data/../etc"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct target_parts parts;
        assert_int_equal(target_resolve(&container, paths[i], SOCKET, &parts), 0);
        assert_true(parts.refusal[0] != '\0');
        target_parts_free(&parts);
    }
}

static void users_are_found_by_name_and_by_path(void **state)
{
    (void)state;
    const struct plan_mount volume = {true, (char *)"v", (char *)"/var/lib/docker/volumes/v/_data", (char *)""};
    const struct plan_mount bind = {false, (char *)"", (char *)"/srv/data", (char *)""};
    assert_true(plan_mount_overlaps(&volume, "volume", "v", ""));
    assert_false(plan_mount_overlaps(&volume, "volume", "w", "/var/lib/docker/volumes/w/_data"));
    assert_true(plan_mount_overlaps(&volume, "bind", "", "/var/lib/docker/volumes/v/_data/uploads"));
    assert_true(plan_mount_overlaps(&volume, "bind", "", "/"));
    assert_true(plan_mount_overlaps(&bind, "bind", "", "/srv/data"));
    assert_true(plan_mount_overlaps(&bind, "bind", "", "/srv"));
    assert_true(plan_mount_overlaps(&bind, "bind", "", "/srv/data/x"));
    assert_false(plan_mount_overlaps(&bind, "bind", "", "/srv/data2"));
    assert_false(plan_mount_overlaps(&bind, "volume", "v", "/var/lib/docker/volumes/v/_data"));
    assert_false(plan_mount_overlaps(&bind, "tmpfs", "", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_is_read),
        cmocka_unit_test(odd_answers_are_no_containers),
        cmocka_unit_test(wrong_types_are_as_good_as_missing),
        cmocka_unit_test(paths_are_normalised),
        cmocka_unit_test(the_deepest_mount_covers),
        cmocka_unit_test(mounts_below_an_uncovered_path_are_told),
        cmocka_unit_test(what_cannot_be_restored_is_refused_by_name),
        cmocka_unit_test(odd_label_paths_are_refused),
        cmocka_unit_test(users_are_found_by_name_and_by_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
