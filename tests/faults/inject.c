/* Preloaded into a program: counts its system calls by kind, writes down those that change files, and lets the
 * N-th of one kind fail once, or transfer only a part. Nothing happens until faults_arm is called. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { OPEN, READ, WRITE, PWRITE, FSYNC, FDATASYNC, RENAME, LINK, UNLINK, CHMOD, CHOWN, UTIMENS, CLOSE, MMAP,
       FTRUNCATE, FSTAT, STAT, LSEEK, MKDIR, OPENDIR, KINDS };

static const char *const names[KINDS] = {
    "open", "read", "write", "pwrite", "fsync", "fdatasync", "rename", "link", "unlink", "chmod", "chown",
    "utimensat", "close", "mmap", "ftruncate", "fstat", "stat", "lseek", "mkdir", "opendir"};

#define SHORT (-1) /* instead of an error number: transfer half */

static atomic_int armed, counts[KINDS], failed;
static int want_kind, want_number, want_error, trace = -1, written = -1;
static atomic_char passed_over[4096]; /* descriptors of program code, which is not what is tried */

/* kind: an index, or -1 to count only. The number-th call from now on (from 1) fails with `error`. Calls that change
 * files go to one descriptor, and the bytes that they wrote to the other, in the same order (-1: nowhere). */
void faults_arm(int kind, int number, int error, int trace_descriptor, int bytes_descriptor) {
    for (int i = 0; i < KINDS; ++i) counts[i] = 0;
    failed = 0;
    want_kind = kind;
    want_number = number;
    want_error = error;
    trace = trace_descriptor;
    written = bytes_descriptor;
    armed = 1;
}

void faults_disarm(void) { armed = 0; }
int faults_count(int kind) { return counts[kind]; }
int faults_failed(void) { return failed; }
int faults_kinds(void) { return KINDS; }
const char *faults_name(int kind) { return names[kind]; }

/* Program code, and what PyTorch's cpuinfo asks of the processor: that library ends with SIGSEGV if it cannot. */
static int is_code(const char *path) {
    if (path && (!strncmp(path, "/sys/devices/system/cpu/", 24) || !strcmp(path, "/proc/cpuinfo"))) return 1;
    const char *dot = path ? strrchr(path, '.') : NULL;
    return dot && (!strcmp(dot, ".py") || !strcmp(dot, ".pyc") || !strcmp(dot, ".so") || strstr(path, ".so."));
}

static int known(int fd) { return fd >= 0 && fd < 4096; }

/* 0: go on; SHORT: transfer half; else the error number. */
static int verdict(int kind, int fd, const char *path) {
    if (!armed || fd == 2 || (fd >= 0 && fd == trace) || is_code(path)) return 0;
    if (known(fd) && passed_over[fd]) return 0;
    const int number = ++counts[kind];
    if (kind != want_kind || number != want_number) return 0;
    failed = 1;
    return want_error;
}

static int noted(int fd) { return armed && trace >= 0 && fd != trace && !(known(fd) && passed_over[fd]); }

static void note_bytes(int fd, const char *data, long n) {
    for (long done = 0, part; noted(fd) && done < n; done += part)
        if ((part = syscall(SYS_write, written, data + done, (size_t)(n - done))) <= 0) return;
}

static void note(int kind, int fd, const char *a, const char *b, long result, long offset) {
    char line[2200];
    if (is_code(a) || !noted(kind == OPEN ? -1 : fd)) return;
    const int n = snprintf(line, sizeof line, "%s\t%d\t%s\t%s\t%ld\t%ld\n", names[kind], fd, a ? a : "", b ? b : "",
                           result, offset);
    if (n > 0) syscall(SYS_write, trace, line, (size_t)n);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL_WITH(kind, fd, path, bad)                   \
    do {                                                 \
        const int error = verdict(kind, fd, path);       \
        if (error > 0) {                                 \
            errno = error;                               \
            return bad;                                  \
        }                                                \
    } while (0)

static int opened(int fd, const char *path, int flags) {
    if (known(fd)) passed_over[fd] = (char)is_code(path);
    if (fd >= 0) note(OPEN, fd, path, flags & O_TRUNC ? "truncate" : "", fd, flags & O_APPEND ? 1 : 0);
    return fd;
}

#define MODE                                     \
    mode_t mode = 0;                             \
    if (flags & (O_CREAT | __O_TMPFILE)) {       \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode = va_arg(rest, mode_t);             \
        va_end(rest);                            \
    }

#define OPENS(name)                                              \
    int name(const char *path, int flags, ...) {                 \
        MODE REAL(name);                                         \
        FAIL_WITH(OPEN, -1, path, -1);                           \
        return opened(real(path, flags, mode), path, flags);     \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                               \
    int name(int folder, const char *path, int flags, ...) {         \
        MODE REAL(name);                                             \
        FAIL_WITH(OPEN, -1, path, -1);                               \
        return opened(real(folder, path, flags, mode), path, flags); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t read(int fd, void *data, size_t n) {
    REAL(read);
    const int error = verdict(READ, fd, NULL);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return real(fd, data, error == SHORT && n > 1 ? n / 2 : n);
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    const int error = verdict(WRITE, fd, NULL);
    if (error > 0) {
        errno = error;
        return -1;
    }
    const off_t at = armed ? lseek(fd, 0, SEEK_CUR) : 0;
    const ssize_t done = real(fd, data, error == SHORT && n > 1 ? n / 2 : n);
    const int kept = errno;
    if (done > 0) {
        note(WRITE, fd, NULL, NULL, done, at);
        note_bytes(fd, data, done);
    }
    errno = kept;
    return done;
}

#define PWRITES(name, type)                                      \
    ssize_t name(int fd, const void *data, size_t n, type at) {  \
        REAL(name);                                              \
        FAIL_WITH(PWRITE, fd, NULL, -1);                         \
        const ssize_t done = real(fd, data, n, at);              \
        if (done > 0) {                                          \
            note(PWRITE, fd, NULL, NULL, done, (long)at);        \
            note_bytes(fd, data, done);                          \
        }                                                        \
        return done;                                             \
    }
PWRITES(pwrite, off_t)
PWRITES(pwrite64, off64_t)

/* Copies within the kernel are refused, so that their bytes pass by write, as on systems that have none. */
ssize_t sendfile(int to, int from, off_t *at, size_t n) {
    REAL(sendfile);
    if (armed) {
        errno = ENOTSOCK;
        return -1;
    }
    return real(to, from, at, n);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t n, unsigned flags) {
    REAL(copy_file_range);
    if (armed) {
        errno = EXDEV;
        return -1;
    }
    return real(from, at, to, there, n, flags);
}

#define ON_DESCRIPTOR(name, kind)                        \
    int name(int fd) {                                   \
        REAL(name);                                      \
        FAIL_WITH(kind, fd, NULL, -1);                   \
        const int result = real(fd);                     \
        if (!result) note(kind, fd, NULL, NULL, 0, 0);   \
        return result;                                   \
    }
ON_DESCRIPTOR(fsync, FSYNC)
ON_DESCRIPTOR(fdatasync, FDATASYNC)

int close(int fd) {
    REAL(close);
    const int error = verdict(CLOSE, fd, NULL); /* the descriptor is gone all the same, as in Linux */
    note(CLOSE, fd, NULL, NULL, 0, 0);
    if (known(fd)) passed_over[fd] = 0;
    const int result = real(fd);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return result;
}

#define ON_TWO_PATHS(name, kind)                                 \
    int name(const char *a, const char *b) {                     \
        REAL(name);                                              \
        FAIL_WITH(kind, -1, a, -1);                              \
        const int result = real(a, b);                           \
        if (!result) note(kind, -1, a, b, 0, 0);                 \
        return result;                                           \
    }
ON_TWO_PATHS(rename, RENAME)
ON_TWO_PATHS(link, LINK)

int renameat(int from, const char *a, int to, const char *b) {
    REAL(renameat);
    FAIL_WITH(RENAME, -1, a, -1);
    const int result = real(from, a, to, b);
    if (!result) note(RENAME, -1, a, b, 0, 0);
    return result;
}

int linkat(int from, const char *a, int to, const char *b, int flags) {
    REAL(linkat);
    FAIL_WITH(LINK, -1, a, -1);
    const int result = real(from, a, to, b, flags);
    if (!result) note(LINK, -1, a, b, 0, 0);
    return result;
}

int unlink(const char *path) {
    REAL(unlink);
    FAIL_WITH(UNLINK, -1, path, -1);
    const int result = real(path);
    if (!result) note(UNLINK, -1, path, NULL, 0, 0);
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat);
    FAIL_WITH(UNLINK, -1, path, -1);
    const int result = real(folder, path, flags);
    if (!result) note(UNLINK, -1, path, NULL, 0, 0);
    return result;
}

int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    FAIL_WITH(CHMOD, -1, path, -1);
    return real(path, mode);
}

int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    FAIL_WITH(CHMOD, fd, NULL, -1);
    return real(fd, mode);
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    REAL(fchmodat);
    FAIL_WITH(CHMOD, -1, path, -1);
    return real(folder, path, mode, flags);
}

int chown(const char *path, uid_t user, gid_t group) {
    REAL(chown);
    FAIL_WITH(CHOWN, -1, path, -1);
    return real(path, user, group);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    REAL(utimensat);
    FAIL_WITH(UTIMENS, -1, path, -1);
    return real(folder, path, times, flags);
}

int futimens(int fd, const struct timespec times[2]) {
    REAL(futimens);
    FAIL_WITH(UTIMENS, fd, NULL, -1);
    return real(fd, times);
}

#define MAPS(name, type)                                                                 \
    void *name(void *at, size_t n, int protection, int flags, int fd, type offset) {     \
        REAL(name);                                                                      \
        if (fd >= 0) FAIL_WITH(MMAP, fd, NULL, MAP_FAILED);                              \
        return real(at, n, protection, flags, fd, offset);                               \
    }
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)

#define TRUNCATES(name, type)                                        \
    int name(int fd, type n) {                                       \
        REAL(name);                                                  \
        FAIL_WITH(FTRUNCATE, fd, NULL, -1);                          \
        const int result = real(fd, n);                              \
        if (!result) note(FTRUNCATE, fd, NULL, NULL, (long)n, 0);    \
        return result;                                               \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

int fstat(int fd, struct stat *to) {
    REAL(fstat);
    FAIL_WITH(FSTAT, fd, NULL, -1);
    return real(fd, to);
}

int fstat64(int fd, struct stat64 *to) {
    REAL(fstat64);
    FAIL_WITH(FSTAT, fd, NULL, -1);
    return real(fd, to);
}

int stat(const char *path, struct stat *to) {
    REAL(stat);
    FAIL_WITH(STAT, -1, path, -1);
    return real(path, to);
}

int stat64(const char *path, struct stat64 *to) {
    REAL(stat64);
    FAIL_WITH(STAT, -1, path, -1);
    return real(path, to);
}

off64_t lseek64(int fd, off64_t offset, int whence) {
    REAL(lseek64);
    FAIL_WITH(LSEEK, fd, NULL, -1);
    return real(fd, offset, whence);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    FAIL_WITH(MKDIR, -1, path, -1);
    return real(path, mode);
}

DIR *opendir(const char *path) {
    REAL(opendir);
    FAIL_WITH(OPENDIR, -1, path, NULL);
    return real(path);
}
