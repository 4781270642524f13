// Counts heap allocations of the whole process, by standing in for glibc's malloc and its relatives.
#ifndef CALLOCATIONCOUNT_H
#define CALLOCATIONCOUNT_H

#include <stdint.h>

// Calls of malloc, calloc, realloc, posix_memalign, aligned_alloc and memalign since the process began, on all threads.
uint64_t allocation_count(void);

#endif
