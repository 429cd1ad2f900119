// The few things Millrace asks of the machine that neither Swift nor libuv offers: batches of datagrams with
// segmentation offload, the CRC32C instruction, clocks in nanoseconds, a timer finer than a millisecond.
//
// Every function is total: it answers a count or a negative errno, keeps no state of its own but what the caller lends
// it, and allocates nothing.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------- clocks, randomness, prefetch (machine.c)

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t mr_monotonic_ns(void);
/// Microseconds since 1970 of CLOCK_REALTIME.
uint64_t mr_wall_us(void);
/// Nanoseconds of CPU this process has used, user and system.
uint64_t mr_process_cpu_ns(void);
/// Fills `bytes` from the kernel's generator; 0 or a negative errno.
int mr_random(void *bytes, size_t count);
/// Hints that the cache line at `address` is about to be read.
static inline void mr_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
/// Hints that the cache line at `address` is about to be written.
static inline void mr_prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }

// ---------------------------------------------------------------- CRC32C (crc32c.c)

/// CRC-32C (Castagnoli, reflected, as in RFC 3720) of `count` bytes, continued from `crc` (0 to begin).
uint32_t mr_crc32c(uint32_t crc, const void *bytes, size_t count);
/// The same by tables alone: the twin the instruction is tested against.
uint32_t mr_crc32c_table(uint32_t crc, const void *bytes, size_t count);

// ---------------------------------------------------------------- a fine timer (machine.c)

/// A timerfd on CLOCK_MONOTONIC, not blocking; the descriptor or a negative errno.
int mr_timer_open(void);
/// Fires at `deadline_ns` (absolute; a past time fires at once); 0 disarms.
int mr_timer_set(int fd, uint64_t deadline_ns);
/// Takes the expiration so that the descriptor is not readable any more.
void mr_timer_take(int fd);
void mr_close(int fd);
/// fcntl's file status flags: a count of bits or a negative errno; and putting them back.
int mr_flags(int fd);
int mr_set_flags(int fd, int flags);

// ---------------------------------------------------------------- local stream sockets (machine.c)

/// A unix-socket listener at `path`, not blocking. A dead socket file is replaced, a live one is -EADDRINUSE.
int mr_unix_listen(const char *path);
/// A client connection to `path`, not blocking.
int mr_unix_connect(const char *path);
/// The next connection, not blocking; -EAGAIN when there is none.
int mr_unix_accept(int fd);
/// read(2), restarted after signals; a count, 0 at the end, or a negative errno.
long mr_read(int fd, void *bytes, size_t count);
long mr_write(int fd, const void *bytes, size_t count);

// ---------------------------------------------------------------- datagrams (datagrams.c)

/// MillraceBase's PeerAddress: sixteen address bytes as two numbers read most significant first, IPv4 mapped.
typedef struct {
    uint64_t high, low;
    uint16_t port;
} mr_address;

/// One datagram to send. `state` 0 waits; the shim sets 1 once the kernel has it, 2 when it was given up.
typedef struct {
    mr_address to;
    void *bytes;
    uint32_t count;
    uint32_t state;
    /// MR_ECN_*; none: what the socket does (`MR_UDP_ECT`).
    uint32_t ecn;
} mr_datagram;

/// What one receive gave: one datagram, or a run of datagrams of `segment` bytes (the last may be shorter).
typedef struct {
    mr_address from;
    uint32_t count;
    uint32_t segment;
    uint32_t ecn;
} mr_received;

enum { MR_UDP_GSO = 1, MR_UDP_GRO = 2, MR_UDP_IPV6 = 4, MR_UDP_ECT = 8 };
/// What routers may write on a datagram and read of it (RFC 3168).
enum { MR_ECN_NONE = 0, MR_ECN_ECT1 = 1, MR_ECN_ECT0 = 2, MR_ECN_CE = 3 };
enum {
    /// Most messages one call sends or receives.
    MR_UDP_BATCH = 32,
    /// Bytes of one receive slot: the largest run of coalesced datagrams.
    MR_UDP_SLOT_BYTES = 65536,
    /// Most datagrams in one segmented send (the kernel's own bound is 64, later 128).
    MR_UDP_SEGMENTS = 64,
};

typedef struct {
    int fd;
    /// MR_UDP_* in force; the shim clears MR_UDP_GSO when the device refuses it.
    uint32_t features;
    /// Datagrams the kernel refused for good (no route, too large), and the last errno of those.
    uint64_t refused;
    int32_t refused_errno;
    /// Datagrams the kernel dropped because this socket's receive buffer was full.
    uint32_t kernel_drops;
    uint64_t sends, segmented_sends;
} mr_udp;

/// A bound, non-blocking socket with the features of `wanted` that this kernel has; 0 or a negative errno. With MR_UDP_ECT its
/// datagrams leave with ECT(0): they may be marked.
int mr_udp_open(mr_udp *socket, mr_address bind_to, uint32_t wanted, int buffer_bytes);
/// The address it is bound to.
int mr_udp_local(const mr_udp *socket, mr_address *out);
/// The kernel's receive and send buffer sizes in bytes.
int mr_udp_buffers(const mr_udp *socket, int *receive_bytes, int *send_bytes);

/// Sends from a ring of datagrams: entries head ..< head + count, modulo mask + 1. Datagrams to one address keep their
/// order; equal sizes to one address with equal marks leave as one segmented send, wherever they stand in the ring. Answers how many
/// entries changed state (0 when the socket is full).
long mr_udp_send(mr_udp *socket, mr_datagram *ring, uint32_t mask, uint32_t head, uint32_t count);

/// Receives up to `slots` (at most MR_UDP_BATCH) runs into `buffers`, MR_UDP_SLOT_BYTES each. Count, or a negative errno.
long mr_udp_recv(mr_udp *socket, void *buffers, uint32_t slots, mr_received *out);

// ---------------------------------------------------------------- the bare loop of the benchmark (datagrams.c)

/// Passes datagrams of `bytes` between two loopback sockets, `batch` to a turn, with no loop and no Swift around it: what
/// `millrace-bench datagrams` compares with. Nanoseconds taken, or 0 when it failed; `received` says how many arrived.
uint64_t mr_bench_loopback(uint64_t datagrams, uint32_t bytes, uint32_t batch, uint32_t features, uint64_t *received);

#ifdef __cplusplus
}
#endif
