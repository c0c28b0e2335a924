/*
 * Linked around the shipped objects of a worker (faults.mk), with the shipped policy: counts its system calls and
 * allocations by function, and makes one of them fail.
 *
 * FAULT_PLAN names a file of struct plan, which is mapped before anything else runs. The counts in it are those of the
 * process so far, whoever reads them and however it ended; fault_plan.py writes and reads it.
 *
 * In the dynamic workers these definitions stand before those of the libraries, so that calls of libcurl and libcrypto
 * are met as well. The stager is static: there the linker sends the calls of all objects here (--wrap), and the
 * loader's first allocations, made before the file is mapped, are not counted.
 *
 * Allocations of libseccomp are left alone: without memory it frees twice, or builds a filter that lacks rules, so that
 * the process ends by a signal before it has read anything. There is nothing to be won there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

#define FUNCTIONS_MAX 64
#define SHORT (-1) /* instead of an error: one byte is read or written, where more was asked for */

enum function {
#define FUNCTION(name) FUNCTION_##name,
#include "functions.def"
};

struct plan {
    uint32_t function;
    uint32_t when; /* 1: its first call; 0: none fails */
    int32_t error; /* an errno, or SHORT */
    uint32_t fired;
    uint32_t of_library; /* the call that failed was made by a shared library */
    uint32_t counts[FUNCTIONS_MAX];
};

static struct plan idle;
static struct plan *plan = &idle;
static struct plan *suspended; /* the plan, while libseccomp is at work */

__attribute__((constructor)) static void map_plan(void)
{
    const char *path = getenv("FAULT_PLAN");
    int fd = path == NULL ? -1 : (int)open(path, O_RDWR | O_CLOEXEC);
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        _exit(99);
    }
    close(fd);
    plan = mapped;
}

extern const char __executable_start;
extern const char etext;

/* What this call of the function comes to: 0, SHORT, or an errno, which is set. */
static int next_from(enum function function, const void *caller)
{
    if (++plan->counts[function] != plan->when || plan->function != function) {
        return 0;
    }
    plan->fired = 1;
    plan->of_library = (const char *)caller < &__executable_start || (const char *)caller >= &etext;
    errno = plan->error > 0 ? plan->error : errno;
    return plan->error;
}

#define next(function) next_from((function), __builtin_return_address(0))

int __real_sandbox_lock(const struct sandbox_plan *wanted, struct sandbox_report *report);
int __wrap_sandbox_lock(const struct sandbox_plan *wanted, struct sandbox_report *report);

int __wrap_sandbox_lock(const struct sandbox_plan *wanted, struct sandbox_report *report)
{
    suspended = plan;
    plan = &idle;
    int result = __real_sandbox_lock(wanted, report);
    plan = suspended;
    return result;
}

#ifdef WRAPPED
#define NAME(name) __wrap_##name
#define REAL(name, ...) __real_##name(__VA_ARGS__)
#define DECLARE(type, name, ...)                                                                                       \
    type __real_##name(__VA_ARGS__);                                                                                   \
    type __wrap_##name(__VA_ARGS__);
#else
#define NAME(name) name
#define REAL(name, ...) syscall(SYS_##name, __VA_ARGS__)
#define DECLARE(type, name, ...)
#endif

DECLARE(ssize_t, read, int fd, void *buffer, size_t size)
DECLARE(ssize_t, write, int fd, const void *buffer, size_t size)

ssize_t NAME(read)(int fd, void *buffer, size_t size)
{
    int fault = next(FUNCTION_read);
    return fault > 0 ? -1 : REAL(read, fd, buffer, fault == SHORT && size > 1 ? 1 : size);
}

ssize_t NAME(write)(int fd, const void *buffer, size_t size)
{
    int fault = next(FUNCTION_write);
    return fault > 0 ? -1 : REAL(write, fd, buffer, fault == SHORT && size > 1 ? 1 : size);
}

#ifdef WRAPPED
DECLARE(void *, malloc, size_t size)
DECLARE(void *, calloc, size_t items, size_t size)
DECLARE(void *, realloc, void *memory, size_t size)
#define REAL_MALLOC __real_malloc
#define REAL_CALLOC __real_calloc
#define REAL_REALLOC __real_realloc
#else
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t items, size_t size);
void *__libc_realloc(void *memory, size_t size);
#define REAL_MALLOC __libc_malloc
#define REAL_CALLOC __libc_calloc
#define REAL_REALLOC __libc_realloc
#endif

void *NAME(malloc)(size_t size)
{
    return next(FUNCTION_malloc) > 0 ? NULL : REAL_MALLOC(size);
}

void *NAME(calloc)(size_t items, size_t size)
{
    return next(FUNCTION_calloc) > 0 ? NULL : REAL_CALLOC(items, size);
}

void *NAME(realloc)(void *memory, size_t size)
{
    return next(FUNCTION_realloc) > 0 ? NULL : REAL_REALLOC(memory, size);
}

#ifdef WRAPPED

#define FAILING(type, name, parameters, ...)                                                                           \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return next(FUNCTION_##name) > 0 ? -1 : __real_##name(__VA_ARGS__);                                            \
    }

FAILING(int, ftruncate, (int fd, off_t size), fd, size)
FAILING(int, mkdirat, (int fd, const char *path, mode_t mode), fd, path, mode)
FAILING(int, mknodat, (int fd, const char *path, mode_t mode, dev_t device), fd, path, mode, device)
FAILING(int, symlinkat, (const char *target, int fd, const char *path), target, fd, path)
FAILING(int, linkat, (int from, const char *path, int to, const char *name, int flags), from, path, to, name, flags)
FAILING(ssize_t, readlinkat, (int fd, const char *path, char *out, size_t size), fd, path, out, size)
FAILING(int, renameat, (int from, const char *path, int to, const char *name), from, path, to, name)
FAILING(int, renameat2, (int from, const char *path, int to, const char *name, unsigned flags), from, path, to, name,
        flags)
FAILING(int, unlinkat, (int fd, const char *path, int flags), fd, path, flags)
FAILING(int, fchmod, (int fd, mode_t mode), fd, mode)
FAILING(int, fchown, (int fd, uid_t user, gid_t group), fd, user, group)
FAILING(int, fchownat, (int fd, const char *path, uid_t user, gid_t group, int flags), fd, path, user, group, flags)
FAILING(int, utimensat, (int fd, const char *path, const struct timespec times[2], int flags), fd, path, times, flags)
FAILING(int, futimens, (int fd, const struct timespec times[2]), fd, times)
FAILING(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags), fd, name, value, size,
        flags)
FAILING(ssize_t, fgetxattr, (int fd, const char *name, void *value, size_t size), fd, name, value, size)
FAILING(ssize_t, flistxattr, (int fd, char *list, size_t size), fd, list, size)
FAILING(int, fdatasync, (int fd), fd)
FAILING(int, fsync, (int fd), fd)
FAILING(int, syncfs, (int fd), fd)
FAILING(off_t, lseek, (int fd, off_t offset, int whence), fd, offset, whence)
FAILING(int, fstat, (int fd, struct stat *status), fd, status)
FAILING(int, fstatat, (int fd, const char *path, struct stat *status, int flags), fd, path, status, flags)

DECLARE(ssize_t, pread, int fd, void *buffer, size_t size, off_t offset)
DECLARE(ssize_t, pwrite, int fd, const void *buffer, size_t size, off_t offset)
DECLARE(ssize_t, copy_file_range, int in, off_t *from, int out, off_t *to, size_t size, unsigned flags)

ssize_t __wrap_pread(int fd, void *buffer, size_t size, off_t offset)
{
    int fault = next(FUNCTION_pread);
    return fault > 0 ? -1 : __real_pread(fd, buffer, fault == SHORT && size > 1 ? 1 : size, offset);
}

ssize_t __wrap_pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    int fault = next(FUNCTION_pwrite);
    return fault > 0 ? -1 : __real_pwrite(fd, buffer, fault == SHORT && size > 1 ? 1 : size, offset);
}

ssize_t __wrap_copy_file_range(int in, off_t *from, int out, off_t *to, size_t size, unsigned flags)
{
    int fault = next(FUNCTION_copy_file_range);
    return fault > 0 ? -1 : __real_copy_file_range(in, from, out, to, fault == SHORT && size > 1 ? 1 : size, flags);
}

/* openat2 has no function of its own in libc. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    long values[6];
    va_list arguments;
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++) {
        values[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (number == SYS_openat2 && next(FUNCTION_openat2) > 0) {
        return -1;
    }
    return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

#else

int poll(struct pollfd *list, nfds_t count, int timeout)
{
    return next(FUNCTION_poll) > 0 ? -1 : (int)syscall(SYS_poll, list, count, timeout);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    int fault = next(FUNCTION_recv);
    return fault > 0 ? -1 : syscall(SYS_recvfrom, fd, buffer, fault == SHORT && size > 1 ? 1 : size, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    int fault = next(FUNCTION_send);
    return fault > 0 ? -1 : syscall(SYS_sendto, fd, buffer, fault == SHORT && size > 1 ? 1 : size, flags, NULL, 0);
}

int socket(int family, int type, int protocol)
{
    return next(FUNCTION_socket) > 0 ? -1 : (int)syscall(SYS_socket, family, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return next(FUNCTION_connect) > 0 ? -1 : (int)syscall(SYS_connect, fd, address, size);
}

#endif
