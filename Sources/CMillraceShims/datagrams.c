// Batches of datagrams. libuv's own UDP shows no control messages, and those carry what makes UDP fast: UDP_SEGMENT (one
// system call and one pass through the stack for up to 64 equal datagrams to one address) and UDP_GRO (the same on the
// way in). Where the kernel or the device has neither, sendmmsg and recvmmsg still spare most calls.
#define _GNU_SOURCE
#include "include/shims.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

// A segmented send must fit one IP packet: 65,535 less the IPv6 and UDP headers, with some room for extensions.
enum { RUN_BYTES_MAX = 65000 };
// How far a send looks ahead for more datagrams to an address.
enum { LOOK_AHEAD = 512 };

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address_storage;

static int is_ipv4(const mr_address *a) { return a->high == 0 && a->low >> 32 == 0xFFFF; }

static socklen_t to_system(const mr_address *a, int ipv6_socket, address_storage *out) {
    memset(out, 0, sizeof *out);
    if (!ipv6_socket) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        out->v4.sin_addr.s_addr = htonl((uint32_t)a->low);
        return sizeof out->v4;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    for (int i = 0; i < 8; i++) {
        out->v6.sin6_addr.s6_addr[i] = (uint8_t)(a->high >> (56 - 8 * i));
        out->v6.sin6_addr.s6_addr[8 + i] = (uint8_t)(a->low >> (56 - 8 * i));
    }
    return sizeof out->v6;
}

static void from_system(const address_storage *in, mr_address *out) {
    memset(out, 0, sizeof *out);
    if (in->any.sa_family == AF_INET) {
        out->low = 0x0000FFFF00000000u | ntohl(in->v4.sin_addr.s_addr);
        out->port = ntohs(in->v4.sin_port);
    } else if (in->any.sa_family == AF_INET6) {
        for (int i = 0; i < 8; i++) {
            out->high = out->high << 8 | in->v6.sin6_addr.s6_addr[i];
            out->low = out->low << 8 | in->v6.sin6_addr.s6_addr[8 + i];
        }
        out->port = ntohs(in->v6.sin6_port);
    }
}

static void set(int fd, int level, int name, int value) { (void)setsockopt(fd, level, name, &value, sizeof value); }

int mr_udp_open(mr_udp *s, mr_address bind_to, uint32_t wanted, int buffer_bytes) {
    memset(s, 0, sizeof *s);
    s->fd = -1;
    int ipv6 = !is_ipv4(&bind_to);
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    if (ipv6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);

    address_storage address;
    socklen_t length = to_system(&bind_to, ipv6, &address);
    if (bind(fd, &address.any, length) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    if (buffer_bytes > 0) {
        // The FORCE variants pass the system's limit where we may; the plain ones are silently cut to it.
        int bytes = buffer_bytes;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) set(fd, SOL_SOCKET, SO_RCVBUF, bytes);
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) set(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    }
    set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    // Don't fragment, and don't let a forged ICMP message shrink our path either.
    set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (ipv6) {
        set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    }
    if (wanted & MR_UDP_ECT) {
        set(fd, IPPROTO_IP, IP_TOS, MR_ECN_ECT0);
        if (ipv6) set(fd, IPPROTO_IPV6, IPV6_TCLASS, MR_ECN_ECT0);
    }
    s->fd = fd;
    s->features = ipv6 ? MR_UDP_IPV6 : 0;
    int size = 0;
    socklen_t size_length = sizeof size;
    if ((wanted & MR_UDP_GSO) && getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &size_length) == 0)
        s->features |= MR_UDP_GSO;
    int on = 1;
    if ((wanted & MR_UDP_GRO) && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0) s->features |= MR_UDP_GRO;
    return 0;
}

int mr_udp_local(const mr_udp *s, mr_address *out) {
    address_storage address;
    socklen_t length = sizeof address;
    if (getsockname(s->fd, &address.any, &length) < 0) return -errno;
    from_system(&address, out);
    return 0;
}

int mr_udp_buffers(const mr_udp *s, int *receive_bytes, int *send_bytes) {
    socklen_t length = sizeof(int);
    if (getsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, receive_bytes, &length) < 0) return -errno;
    length = sizeof(int);
    if (getsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, send_bytes, &length) < 0) return -errno;
    return 0;
}

static int same_address(const mr_address *a, const mr_address *b) {
    return a->low == b->low && a->high == b->high && a->port == b->port;
}

// Room for the control messages of one send: the size of its segments, and its mark.
typedef union {
    char bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
} send_control;

static void add_control(struct msghdr *m, send_control *control, int level, int type, const void *value, size_t size) {
    if (m->msg_control == NULL) {
        memset(control, 0, sizeof *control);
        m->msg_control = control->bytes;
        m->msg_controllen = 0;
    }
    struct cmsghdr *c = (struct cmsghdr *)(control->bytes + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
    m->msg_controllen += CMSG_SPACE(size);
}

static void ask_for_segments(struct msghdr *m, send_control *control, uint16_t segment) {
    add_control(m, control, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
}

// The mark of these datagrams, if they have one of their own.
static void mark(struct msghdr *m, send_control *control, const mr_datagram *d, int ipv6_socket) {
    int value = (int)(d->ecn & 3);
    if (value == MR_ECN_NONE) return;
    if (ipv6_socket && !is_ipv4(&d->to))
        add_control(m, control, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
    else
        add_control(m, control, IPPROTO_IP, IP_TOS, &value, sizeof value);
}

// One datagram by itself: after a segmented send was refused, or to find which of a batch is at fault. 1 when its state
// changed, 0 when the socket is full.
static int send_alone(mr_udp *s, mr_datagram *d) {
    address_storage address;
    struct iovec part = {d->bytes, d->count};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_name = &address;
    m.msg_namelen = to_system(&d->to, s->features & MR_UDP_IPV6, &address);
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    send_control control;
    mark(&m, &control, d, s->features & MR_UDP_IPV6);
    for (;;) {
        s->sends++;
        if (sendmsg(s->fd, &m, 0) >= 0) {
            d->state = 1;
            return 1;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        s->refused++;
        s->refused_errno = errno;
        d->state = 2;
        return 1;
    }
}

long mr_udp_send(mr_udp *s, mr_datagram *ring, uint32_t mask, uint32_t head, uint32_t count) {
    struct mmsghdr messages[MR_UDP_BATCH];
    address_storage addresses[MR_UDP_BATCH];
    send_control controls[MR_UDP_BATCH];
    struct iovec parts[LOOK_AHEAD];
    uint32_t indexes[LOOK_AHEAD];   // ring entries, in the order of `parts`
    uint32_t first[MR_UDP_BATCH];   // where a message's parts begin
    uint8_t taken[LOOK_AHEAD];
    long changed = 0;
    int ipv6 = s->features & MR_UDP_IPV6;

    uint32_t done = 0;  // entries before this offset have changed state
    while (done < count) {
        uint32_t window = count - done < LOOK_AHEAD ? count - done : LOOK_AHEAD;
        memset(taken, 0, window);
        uint32_t used = 0, n = 0;
        for (uint32_t i = 0; i < window && n < MR_UDP_BATCH; i++) {
            mr_datagram *d = &ring[(head + done + i) & mask];
            if (taken[i] || d->state != 0) continue;
            if (!ipv6 && !is_ipv4(&d->to)) {
                // An IPv6 address on an IPv4 socket has no way out.
                d->state = 2;
                s->refused++;
                s->refused_errno = EAFNOSUPPORT;
                changed++;
                continue;
            }
            struct msghdr *m = &messages[n].msg_hdr;
            memset(m, 0, sizeof *m);
            m->msg_name = &addresses[n];
            m->msg_namelen = to_system(&d->to, ipv6, &addresses[n]);
            m->msg_iov = &parts[used];
            first[n] = used;
            uint32_t bytes = 0, segments = 0;
            for (uint32_t j = i; j < window; j++) {
                mr_datagram *e = &ring[(head + done + j) & mask];
                if (taken[j] || e->state != 0 || !same_address(&e->to, &d->to)) continue;
                // The run ends before a longer datagram or an empty one, and after a shorter one.
                if (segments > 0
                    && (e->count > d->count || e->count == 0 || e->ecn != d->ecn || bytes + e->count > RUN_BYTES_MAX))
                    break;
                taken[j] = 1;
                parts[used].iov_base = e->bytes;
                parts[used].iov_len = e->count;
                indexes[used++] = (head + done + j) & mask;
                bytes += e->count;
                segments++;
                if (e->count < d->count || e->count == 0 || segments == MR_UDP_SEGMENTS || !(s->features & MR_UDP_GSO)) break;
            }
            m->msg_iovlen = segments;
            if (segments > 1) ask_for_segments(m, &controls[n], (uint16_t)d->count);
            mark(m, &controls[n], d, ipv6);
            n++;
        }
        uint32_t sent = 0;
        int full = 0;
        while (sent < n && !full) {
            int result = sendmmsg(s->fd, messages + sent, n - sent, 0);
            s->sends++;
            int error = errno;
            uint32_t ok = result > 0 ? (uint32_t)result : 0;
            for (uint32_t k = sent; k < sent + ok; k++) {
                size_t segments = messages[k].msg_hdr.msg_iovlen;
                if (segments > 1) s->segmented_sends++;
                for (size_t p = 0; p < segments; p++) ring[indexes[first[k] + p]].state = 1;
                changed += (long)segments;
            }
            sent += ok;
            if (ok > 0 || error == EINTR) continue;
            if (error == EAGAIN || error == EWOULDBLOCK) {
                full = 1;
                break;
            }
            // The message at `sent` was refused. EIO says the device cannot checksum segments: never ask again.
            size_t segments = messages[sent].msg_hdr.msg_iovlen;
            if (segments > 1 && error == EIO) s->features &= ~(uint32_t)MR_UDP_GSO;
            for (size_t p = 0; p < segments; p++) {
                if (!send_alone(s, &ring[indexes[first[sent] + p]])) {
                    full = 1;
                    break;
                }
                changed++;
            }
            if (!full) sent++;
        }
        if (full) break;
        while (done < count && ring[(head + done) & mask].state != 0) done++;
    }
    return changed;
}

long mr_udp_recv(mr_udp *s, void *buffers, uint32_t slots, mr_received *out) {
    struct mmsghdr messages[MR_UDP_BATCH];
    address_storage addresses[MR_UDP_BATCH];
    struct iovec parts[MR_UDP_BATCH];
    // Segment size, type of service, traffic class, overflow count.
    union {
        char bytes[4 * CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } controls[MR_UDP_BATCH];
    if (slots > MR_UDP_BATCH) slots = MR_UDP_BATCH;
    for (uint32_t i = 0; i < slots; i++) {
        parts[i].iov_base = (uint8_t *)buffers + (size_t)i * MR_UDP_SLOT_BYTES;
        parts[i].iov_len = MR_UDP_SLOT_BYTES;
        struct msghdr *m = &messages[i].msg_hdr;
        m->msg_name = &addresses[i];
        m->msg_namelen = sizeof addresses[i];
        m->msg_iov = &parts[i];
        m->msg_iovlen = 1;
        m->msg_control = controls[i].bytes;
        m->msg_controllen = sizeof controls[i].bytes;
        m->msg_flags = 0;
    }
    int n;
    do n = recvmmsg(s->fd, messages, slots, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    for (int i = 0; i < n; i++) {
        struct msghdr *m = &messages[i].msg_hdr;
        from_system(&addresses[i], &out[i].from);
        out[i].count = messages[i].msg_len;
        out[i].segment = messages[i].msg_len;
        out[i].ecn = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
            int value = 0;
            if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
                memcpy(&value, CMSG_DATA(c), sizeof value);
                if (value > 0 && (uint32_t)value < out[i].count) out[i].segment = (uint32_t)value;
            } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
                out[i].ecn = *(uint8_t *)CMSG_DATA(c) & 3;
            } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
                memcpy(&value, CMSG_DATA(c), sizeof value);
                out[i].ecn = (uint32_t)value & 3;
            } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                memcpy(&s->kernel_drops, CMSG_DATA(c), sizeof s->kernel_drops);
            }
        }
    }
    return n;
}

// ---------------------------------------------------------------- the bare loop

static uint8_t bench_in[MR_UDP_BATCH][MR_UDP_SLOT_BYTES];
static uint8_t bench_out[MR_UDP_BATCH * 64][2048];
static mr_datagram bench_ring[2048];

uint64_t mr_bench_loopback(uint64_t datagrams, uint32_t bytes, uint32_t batch, uint32_t features, uint64_t *received) {
    mr_address any = {0, 0x0000FFFF7F000001u, 0}, to;
    mr_udp a, b;
    *received = 0;
    if (bytes > 2048 || batch == 0 || batch > 2048) return 0;
    if (mr_udp_open(&a, any, features, 4 << 20) < 0) return 0;
    if (mr_udp_open(&b, any, features, 4 << 20) < 0) {
        close(a.fd);
        return 0;
    }
    mr_udp_local(&b, &to);
    mr_received got[MR_UDP_BATCH];
    uint64_t begin = mr_monotonic_ns(), sent = 0;
    while (sent < datagrams) {
        for (uint32_t i = 0; i < batch; i++) {
            bench_ring[i].to = to;
            bench_ring[i].bytes = bench_out[i];
            bench_ring[i].count = bytes;
            bench_ring[i].state = 0;
        }
        mr_udp_send(&a, bench_ring, 2047, 0, batch);
        sent += batch;
        for (;;) {
            long n = mr_udp_recv(&b, bench_in, MR_UDP_BATCH, got);
            if (n <= 0) break;
            for (long i = 0; i < n; i++) *received += got[i].segment ? (got[i].count + got[i].segment - 1) / got[i].segment : 1;
        }
    }
    uint64_t taken = mr_monotonic_ns() - begin;
    close(a.fd);
    close(b.fd);
    return taken;
}
