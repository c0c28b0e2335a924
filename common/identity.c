/* Users and capabilities of this process, by system calls: glibc's own would do it for threads that we do not have. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exit_codes.h"

#define GROUPS_MAX 1024
#define BIT(capability) (1ULL << (capability))

struct capabilities {
    uint64_t permitted;
    uint64_t effective;
};

static int get_capabilities(struct capabilities *found)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) != 0) {
        return -1;
    }
    found->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    found->effective = data[0].effective | (uint64_t)data[1].effective << 32;
    return 0;
}

/* None is inheritable: nothing is executed. */
static int set_capabilities(const struct capabilities *wanted)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const struct __user_cap_data_struct data[2] = {
        {(uint32_t)wanted->effective, (uint32_t)wanted->permitted, 0},
        {(uint32_t)(wanted->effective >> 32), (uint32_t)(wanted->permitted >> 32), 0},
    };
    return (int)syscall(SYS_capset, &header, data);
}

uint64_t identity_capabilities(void)
{
    struct capabilities own = {0};
    return get_capabilities(&own) == 0 ? own.permitted & own.effective : 0;
}

/* Is `asked` true of a process of that user and group without capabilities? We are ourselves again afterwards. */
static bool as_another(unsigned user, unsigned group, bool (*asked)(const char *), const char *path)
{
    gid_t groups[GROUPS_MAX];
    uid_t own_user = geteuid();
    gid_t own_group = getegid();
    struct capabilities own = {0};
    int count = getgroups(GROUPS_MAX, groups);
    if (count < 0 || get_capabilities(&own) != 0 || setgroups(0, NULL) != 0) {
        return false;
    }
    const struct capabilities able = {own.permitted, 0};
    bool answer = setresgid((gid_t)-1, group, (gid_t)-1) == 0 && setresuid((uid_t)-1, user, (uid_t)-1) == 0 &&
                  set_capabilities(&able) == 0 && (asked == NULL || asked(path));
    /* with the capabilities first: they are what allows the rest */
    bool back = set_capabilities(&own) == 0 && setresuid((uid_t)-1, own_user, (uid_t)-1) == 0 &&
                set_capabilities(&own) == 0 && setresgid((gid_t)-1, own_group, (gid_t)-1) == 0 &&
                setgroups((size_t)count, groups) == 0;
    if (!back) {
        _exit(EXIT_SANDBOX);
    }
    return answer;
}

bool identity_may_change(unsigned user)
{
    const uint64_t needed = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);
    return geteuid() == 0 && (identity_capabilities() & needed) == needed && as_another(user, user, NULL, NULL);
}

static bool may_write(const char *path)
{
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

bool identity_could_write(unsigned user, unsigned group, const char *path)
{
    return as_another(user, group, may_write, path);
}

bool identity_writes_bare(const char *path)
{
    struct capabilities own = {0};
    if (get_capabilities(&own) != 0) {
        return false;
    }
    const struct capabilities able = {own.permitted, 0};
    bool answer = set_capabilities(&able) == 0 && may_write(path);
    if (set_capabilities(&own) != 0) {
        _exit(EXIT_SANDBOX);
    }
    return answer;
}

/* Whether only those are left, in every set, and there is no way back. */
static bool is_settled(uint64_t kept)
{
    struct capabilities left = {0};
    if (get_capabilities(&left) != 0 || left.permitted != kept || left.effective != kept) {
        return false;
    }
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0UL, 0UL) == 1) {
            return false;
        }
    }
    return true;
}

int identity_keep_capabilities(uint64_t kept)
{
    struct capabilities own = {0};
    if (get_capabilities(&own) != 0) {
        return -1;
    }
    const struct capabilities left = {own.permitted & kept, own.permitted & kept};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL); /* kernels before 4.3 have none */
    if (set_capabilities(&left) != 0) {
        return -1;
    }
    if (!is_settled(left.permitted)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

int identity_become(unsigned user, unsigned group, uint64_t kept)
{
    if (prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL) != 0 || setgroups(0, NULL) != 0 ||
        setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0 ||
        identity_keep_capabilities(kept) != 0 || prctl(PR_SET_KEEPCAPS, 0UL, 0UL, 0UL, 0UL) != 0) {
        return -1;
    }
    /* believed only when the way back is tried and closed */
    bool gone = setresuid((uid_t)-1, 0, (uid_t)-1) != 0 && (group == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) != 0) &&
                getuid() == user && geteuid() == user && getgid() == group && getegid() == group &&
                getgroups(0, NULL) == 0;
    if (!gone) {
        errno = EPERM;
    }
    return gone ? 0 : -1;
}
