// Stands in for glibc's allocation functions, and passes each call on by the names that glibc exports for that
// purpose. Unlike dlsym(RTLD_NEXT), those need no lookup, which itself would allocate.
//
// Where ALLOCATION_COUNT_FILE names a file of at least 8 bytes, the count is kept in its first 8 bytes, in the machine's
// byte order: another process can then read it while this one runs.

#include "CAllocationCount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static _Atomic uint64_t own_count;
// Replaced once, before the program has a second thread.
static _Atomic uint64_t *count = &own_count;

static inline void counted(void) { atomic_fetch_add_explicit(count, 1, memory_order_relaxed); }

uint64_t allocation_count(void) { return atomic_load_explicit(count, memory_order_relaxed); }

__attribute__((constructor)) static void share_count(void) {
  const char *path = getenv("ALLOCATION_COUNT_FILE");
  if (!path)
    return;
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0)
    return;
  void *page = mmap(NULL, sizeof own_count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED)
    count = page;
}

void *malloc(size_t size) {
  counted();
  return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
  counted();
  return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size) {
  counted();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  counted();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  counted();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0)
    return EINVAL;
  counted();
  void *memory = __libc_memalign(alignment, size);
  if (!memory)
    return ENOMEM;
  *result = memory;
  return 0;
}
