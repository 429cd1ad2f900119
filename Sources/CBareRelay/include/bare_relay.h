// A relay without a protocol, for the benchmark to stand beside: what the ciphers and the kernel alone cost.
#ifndef MILLRACE_BARE_RELAY_H
#define MILLRACE_BARE_RELAY_H

#include <stdint.h>

/// Opens `batch` datagrams of `bytes` bytes (ChaCha20-Poly1305, libsodium), seals each anew for every one of `children` and sends
/// them, child by child with segmentation offload, to sockets on loopback that nobody reads; `rounds` times. With
/// `authenticated_only` nothing is enciphered: each datagram has a tag over what it says in the clear.
///
/// Returns nanoseconds of this thread's processor time, 0 if it could not be set up; `*sent` datagrams left.
/// At most 16 children and 64 datagrams of at most 1,472 bytes.
uint64_t mr_bare_relay(
    uint32_t children, uint32_t bytes, uint32_t batch, uint32_t rounds, int authenticated_only, uint64_t *sent);

#endif
