/* Asks for a line of memory before it is needed. A hint: any address will do, and nothing happens but the fetching. */

#ifndef CPREFETCH_H
#define CPREFETCH_H

static inline void millrace_prefetch(const void *address) { __builtin_prefetch(address); }

#endif
