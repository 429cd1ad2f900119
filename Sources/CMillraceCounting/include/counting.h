// How often this thread has asked the C library for memory. For benchmarks only: linking this puts a counter in front of
// malloc, calloc, realloc and the aligned forms of the whole program. Counts, unlike times, do not depend on the machine.
#ifndef MILLRACE_COUNTING_H
#define MILLRACE_COUNTING_H

unsigned long long mr_allocation_count(void);

#endif
