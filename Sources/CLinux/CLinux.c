#include "CLinux.h"

#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>

int clinux_set_io_flusher(void) { return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); }

// 16 bytes, which every 64-bit processor stores at once.
typedef long long vector __attribute__((vector_size(16)));
typedef vector unaligned_vector __attribute__((aligned(1), may_alias));

void clinux_copy_uncached(void *to, const void *from, size_t count) {
  char *target = to;
  const char *source = from;
  // Such stores have to be aligned.
  size_t head = -(uintptr_t)target % sizeof(vector);
  if (head > count) head = count;
  memcpy(target, source, head);
  target += head;
  source += head;
  count -= head;
  for (; count >= sizeof(vector); count -= sizeof(vector)) {
    __builtin_nontemporal_store((vector) * (const unaligned_vector *)source, (vector *)target);
    target += sizeof(vector);
    source += sizeof(vector);
  }
  memcpy(target, source, count);
#if defined(__x86_64__)
  // They are not in the order of other stores, and so not in that of an unlock.
  __builtin_ia32_sfence();
#endif
}
