/* The closed list of requests to the Docker Engine: what is in it passes, everything beside it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workers/docker_agent/engine_requests.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void listed_requests_pass(void **state)
{
    (void)state;
    assert_true(engine_request_permitted("GET", "/version"));
    assert_true(engine_request_permitted("GET", "/containers/json"));
    assert_true(engine_request_permitted("GET", "/containers/json?all=1&filters=%7B%7D"));
    assert_true(engine_request_permitted("GET", "/containers/" ID "/json"));
    assert_true(engine_request_permitted("GET", "/containers/restore-app/json"));
    assert_true(engine_request_permitted("POST", "/containers/" ID "/stop?t=10"));
    assert_true(engine_request_permitted("POST", "/exec/" ID "/start"));
    assert_true(engine_request_permitted("PUT", "/containers/" ID "/archive?path=%2Fdata"));
    assert_true(engine_request_permitted("DELETE", "/images/sha256%3A" ID "?force=1"));
    assert_true(engine_request_permitted("GET", "/images/example.org%3A5000%2Fx%2Fstager%401/json"));
    assert_true(engine_request_permitted("GET", "/volumes/app_data.1-x"));
}

static void the_rest_is_refused(void **state)
{
    static const char *const paths[] = {
        "",
        "/",
        "version",
        "/version/",
        "//version",
        "/version?x=1",
        "/containers/" ID,
        "/containers/" ID "/",
        "/containers/" ID "/top",
        "/containers/" ID "/json?size=1",
        "/containers/" ID "/json/x",
        "/containers/../json",
        "/containers/./json",
        "/containers//json",
        "/containers/a%2F..%2Fx/json",
        "/containers/a b/json",
        "/containers/" ID "/json#x",
        "/containers/" ID "/json\r\nX: y",
        "/volumes/../containers/json",
        "/volumes/a/b",
        "/containers/json?al=1",
        "/containers/json?all",
        "/containers/json?all=0",
        "/containers/json?allx=1",
        "/containers/json?filters=x&size=1",
        "/secrets",
        "/images/a%2Fb/push",
        "/images/a%2F..%2F..%2Fcontainers%2Fx/json",
        "/images/a%2F/json",
        "/images/%2Fa/json",
        "/images/a%00b/json",
        "/images/a%2/json",
    };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_false(engine_request_permitted("GET", paths[i]));
    }
}

static void the_method_counts(void **state)
{
    (void)state;
    assert_false(engine_request_permitted("POST", "/version"));
    assert_false(engine_request_permitted("DELETE", "/containers/json"));
    assert_false(engine_request_permitted("get", "/version"));
    assert_false(engine_request_permitted("GET", "/containers/create?name=x"));
    assert_false(engine_request_permitted("POST", "/containers/prune"));
    assert_false(engine_request_permitted("POST", "/build"));
    assert_true(engine_request_permitted("POST", "/images/create?fromSrc=-&repo=a&tag=b"));
    assert_false(engine_request_permitted("POST", "/images/create?fromImage=x"));
    assert_false(engine_request_permitted("POST", "/images/create?fromSrc=http%3A%2F%2Fx"));
}

/* What acts on a container takes a full id: a name could be another container by now. */
static void names_do_not_act(void **state)
{
    (void)state;
    assert_false(engine_request_permitted("POST", "/containers/app-web-1/stop"));
    assert_false(engine_request_permitted("POST", "/containers/0123456789ab/start"));
    assert_false(engine_request_permitted("POST", "/containers/" ID "0/start"));
    assert_false(engine_request_permitted("POST", "/containers/app-web-1/exec"));
    assert_false(engine_request_permitted("DELETE", "/containers/app-web-1?force=1"));
    assert_false(engine_request_permitted("PUT", "/containers/app-web-1/archive?path=%2F"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_requests_pass),
        cmocka_unit_test(the_rest_is_refused),
        cmocka_unit_test(the_method_counts),
        cmocka_unit_test(names_do_not_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
