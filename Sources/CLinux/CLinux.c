#include "CLinux.h"
#include <sys/prctl.h>

int clinux_set_io_flusher(void) { return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); }
