#include "include/shims.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

// Eight tables of 256: table[k][b] is the CRC of byte b followed by k zero bytes ("slicing by 8"). Filled at load time,
// before any thread can ask.
static uint32_t table[8][256];

__attribute__((constructor)) static void fill_tables(void) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int i = 0; i < 8; i++) c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
        table[0][b] = c;
    }
    for (uint32_t b = 0; b < 256; b++)
        for (int k = 1; k < 8; k++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xFF];
}

uint32_t mr_crc32c_table(uint32_t crc, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    uint32_t c = ~crc;
    while (count >= 8) {
        c ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        c = table[7][c & 0xFF] ^ table[6][c >> 8 & 0xFF] ^ table[5][c >> 16 & 0xFF] ^ table[4][c >> 24] ^ table[3][at[4]] ^
            table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
        at += 8;
        count -= 8;
    }
    while (count-- > 0) c = c >> 8 ^ table[0][(c ^ *at++) & 0xFF];
    return ~c;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at, size_t count) {
    uint64_t c = ~crc;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        c = _mm_crc32_u64(c, word);
        at += 8;
        count -= 8;
    }
    uint32_t rest = (uint32_t)c;
    while (count-- > 0) rest = _mm_crc32_u8(rest, *at++);
    return ~rest;
}

uint32_t mr_crc32c(uint32_t crc, const void *bytes, size_t count) {
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes, count) : mr_crc32c_table(crc, bytes, count);
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

uint32_t mr_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    uint32_t c = ~crc;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        c = __crc32cd(c, word);
        at += 8;
        count -= 8;
    }
    while (count-- > 0) c = __crc32cb(c, *at++);
    return ~c;
}

#else

uint32_t mr_crc32c(uint32_t crc, const void *bytes, size_t count) { return mr_crc32c_table(crc, bytes, count); }

#endif
