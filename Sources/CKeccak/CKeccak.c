/* Four permutations at once (FIPS 202, 3.2), in C for one reason: the compiler makes it once for each vector width and the
 * loader picks the widest that the machine has. `Keccak256` in Swift does one at a time and is what the tests compare with. */

#include "CKeccak.h"

typedef uint64_t lane4 __attribute__((vector_size(32), aligned(32)));

#if defined(__x86_64__) && defined(__linux__)
#define WIDEST __attribute__((target_clones("avx512vl", "avx2", "default")))
#else
#define WIDEST
#endif

static const uint64_t constants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#define TURN(x, n) ((x) << (n) | (x) >> (64 - (n)))

WIDEST void millrace_keccak_permute4(uint64_t lanes[100]) {
    lane4 a[25], b[25], c[5], d[5];
    __builtin_memcpy(a, lanes, sizeof a);
    for (int round = 0; round < 24; round++) {
        for (int x = 0; x < 5; x++) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int x = 0; x < 5; x++) d[x] = c[(x + 4) % 5] ^ TURN(c[(x + 1) % 5], 1);
        /* Rho and pi: lane (x, y) turns by its offset and moves to (y, 2x + 3y). */
        b[0] = a[0] ^ d[0];
        b[10] = TURN(a[1] ^ d[1], 1);
        b[20] = TURN(a[2] ^ d[2], 62);
        b[5] = TURN(a[3] ^ d[3], 28);
        b[15] = TURN(a[4] ^ d[4], 27);
        b[16] = TURN(a[5] ^ d[0], 36);
        b[1] = TURN(a[6] ^ d[1], 44);
        b[11] = TURN(a[7] ^ d[2], 6);
        b[21] = TURN(a[8] ^ d[3], 55);
        b[6] = TURN(a[9] ^ d[4], 20);
        b[7] = TURN(a[10] ^ d[0], 3);
        b[17] = TURN(a[11] ^ d[1], 10);
        b[2] = TURN(a[12] ^ d[2], 43);
        b[12] = TURN(a[13] ^ d[3], 25);
        b[22] = TURN(a[14] ^ d[4], 39);
        b[23] = TURN(a[15] ^ d[0], 41);
        b[8] = TURN(a[16] ^ d[1], 45);
        b[18] = TURN(a[17] ^ d[2], 15);
        b[3] = TURN(a[18] ^ d[3], 21);
        b[13] = TURN(a[19] ^ d[4], 8);
        b[14] = TURN(a[20] ^ d[0], 18);
        b[24] = TURN(a[21] ^ d[1], 2);
        b[9] = TURN(a[22] ^ d[2], 61);
        b[19] = TURN(a[23] ^ d[3], 56);
        b[4] = TURN(a[24] ^ d[4], 14);
        for (int y = 0; y < 25; y += 5)
            for (int x = 0; x < 5; x++) a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
        a[0] ^= constants[round];
    }
    __builtin_memcpy(lanes, a, sizeof a);
}
