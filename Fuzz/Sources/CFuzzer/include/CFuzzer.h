/// CFuzzer: what is called of the two runtimes that the program is linked with.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// libFuzzer's main function without the name (its documentation: *Using libFuzzer as a library*).
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*user_callback)(const uint8_t *data, size_t size));

/// Bytes on the heap now (AddressSanitizer's sanitizer/allocator_interface.h).
size_t __sanitizer_get_current_allocated_bytes(void);
