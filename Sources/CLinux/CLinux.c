#include "CLinux.h"

#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_set_io_flusher(void) { return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); }
int clinux_set_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
int clinux_set_not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

int clinux_clear_inheritable_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) data[i].inheritable = 0;
  return (int)syscall(SYS_capset, &header, data);
}

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
