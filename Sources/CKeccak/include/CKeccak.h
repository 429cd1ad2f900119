/* Keccak-f[1600] on four states side by side: what one state's lanes leave unused of a vector register, the others fill. */

#ifndef CKECCAK_H
#define CKECCAK_H

#include <stdint.h>

/* Permutes four states; lane i of state j is lanes[4 * i + j]. */
void millrace_keccak_permute4(uint64_t lanes[100]);

#endif
