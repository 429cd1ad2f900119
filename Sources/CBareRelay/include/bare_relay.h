// A relay without a protocol, for the benchmark to stand beside: what the ciphers and the kernel alone cost.
#ifndef MILLRACE_BARE_RELAY_H
#define MILLRACE_BARE_RELAY_H

#include <stdint.h>

/// For each of `batch_count` batches: opens its `batches[b]` datagrams (ChaCha20-Poly1305 over libsodium, eight bytes of associated
/// data; their `lengths` follow each other), seals each anew for every one of `children` and sends them, child by child with
/// segmentation offload, to sockets on loopback that nobody reads. With `authenticated_only` nothing is enciphered: each
/// datagram has a tag over what it says in the clear.
///
/// Returns nanoseconds of this thread's processor time, 0 if it could not be set up; `*sent` datagrams left.
/// At most 16 children and 64 datagrams of 24 to 1,472 bytes in a batch.
uint64_t mr_bare_relay(
    uint32_t children, const uint16_t *lengths, const uint16_t *batches, uint32_t batch_count, int authenticated_only,
    uint64_t *sent);

#endif
