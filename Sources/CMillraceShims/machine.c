#define _GNU_SOURCE
#include "include/shims.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t id) {
    struct timespec t;
    if (clock_gettime(id, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t mr_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t mr_wall_us(void) { return clock_ns(CLOCK_REALTIME) / 1000; }
uint64_t mr_process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

int mr_random(void *bytes, size_t count) {
    uint8_t *at = bytes;
    while (count > 0) {
        ssize_t n = getrandom(at, count, 0);
        if (n < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        at += n;
        count -= (size_t)n;
    }
    return 0;
}

int mr_timer_open(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int mr_timer_set(int fd, uint64_t deadline_ns) {
    struct itimerspec when;
    memset(&when, 0, sizeof when);
    // Beyond 2^62 ns (146 years) is never: it also keeps tv_sec in range.
    if (deadline_ns >> 62) deadline_ns = 0;
    when.it_value.tv_sec = (time_t)(deadline_ns / 1000000000u);
    when.it_value.tv_nsec = (long)(deadline_ns % 1000000000u);
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}

void mr_timer_take(int fd) {
    uint64_t expirations;
    ssize_t n = read(fd, &expirations, sizeof expirations);
    (void)n;
}

void mr_close(int fd) { close(fd); }

int mr_flags(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : flags;
}

int mr_set_flags(int fd, int flags) { return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0; }

static int unix_address(const char *path, struct sockaddr_un *out) {
    size_t length = strlen(path);
    memset(out, 0, sizeof *out);
    if (length == 0 || length >= sizeof out->sun_path) return -ENAMETOOLONG;
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, path, length);
    return 0;
}

int mr_unix_connect(const char *path) {
    struct sockaddr_un address;
    int status = unix_address(path, &address);
    if (status < 0) return status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

int mr_unix_listen(const char *path) {
    struct sockaddr_un address;
    int status = unix_address(path, &address);
    if (status < 0) return status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    status = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    if (status == -EADDRINUSE) {
        // Someone's live socket, or a file left by a process that was killed? Only the latter refuses.
        int probe = mr_unix_connect(path);
        if (probe >= 0) {
            close(probe);
        } else if (probe == -ECONNREFUSED && unlink(path) == 0) {
            status = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
        }
    }
    if (status == 0 && listen(fd, 16) < 0) status = -errno;
    if (status < 0) {
        close(fd);
        return status;
    }
    return fd;
}

int mr_unix_accept(int fd) {
    for (;;) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) return accepted;
        if (errno != EINTR && errno != ECONNABORTED) return -errno;
    }
}

long mr_read(int fd, void *bytes, size_t count) {
    for (;;) {
        ssize_t n = read(fd, bytes, count);
        if (n >= 0) return n;
        if (errno != EINTR) return -errno;
    }
}

long mr_write(int fd, const void *bytes, size_t count) {
    for (;;) {
        ssize_t n = write(fd, bytes, count);
        if (n >= 0) return n;
        if (errno != EINTR) return -errno;
    }
}
