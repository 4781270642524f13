// libfuse 3's low-level API as Swift can import it.
//
// Swift cannot see function-like macros, and libfuse hides several functions behind them to keep old
// binaries working. Each inline function here is one such call, under its own name, and nothing more.
//
// _FILE_OFFSET_BITS is deliberately not defined: on 64-bit targets off_t is 64 bits wide already, and
// defining it here makes <fcntl.h> clash with the Glibc module.
#ifndef CFUSE3_SHIM_H
#define CFUSE3_SHIM_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <fuse_opt.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#endif
