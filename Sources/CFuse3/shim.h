// libfuse 3's low-level API as Swift can import it.
//
// Swift cannot see function-like macros, and libfuse hides several functions behind them to keep old
// binaries working. Each inline function here is one such call under a name of its own, with the version
// differences between libfuse 3.12 and 3.18 behind it, and nothing more.
//
// _FILE_OFFSET_BITS is deliberately not defined: on 64-bit targets off_t is 64 bits wide already, and
// defining it here makes <fcntl.h> clash with the Glibc module.
#ifndef CFUSE3_SHIM_H
#define CFUSE3_SHIM_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <fuse_opt.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

static inline struct fuse_session *cfuse_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *ops,
                                                     void *userdata) {
  return fuse_session_new(args, ops, sizeof *ops, userdata);
}

static inline int cfuse_session_loop_mt(struct fuse_session *session, struct fuse_loop_config *config) {
  return fuse_session_loop_mt(session, config);
}

// Asks the kernel for a capability, or declines it; false where the kernel does not offer it.
static inline bool cfuse_want(struct fuse_conn_info *conn, uint64_t capability, bool wanted) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  if (wanted)
    return fuse_set_feature_flag(conn, capability);
  fuse_unset_feature_flag(conn, capability);
  return true;
#else
  if (!wanted) {
    conn->want &= ~(unsigned)capability;
    return true;
  }
  if (!(conn->capable & capability))
    return false;
  conn->want |= (unsigned)capability;
  return true;
#endif
}

// Macros with arguments or casts, as constants.
static const uint64_t cfuse_cap_writeback_cache = FUSE_CAP_WRITEBACK_CACHE;
static const uint64_t cfuse_cap_atomic_o_trunc = FUSE_CAP_ATOMIC_O_TRUNC;
static const uint64_t cfuse_cap_auto_inval_data = FUSE_CAP_AUTO_INVAL_DATA;
static const uint64_t cfuse_cap_splice_read = FUSE_CAP_SPLICE_READ;
// From libfuse 3.18 on. It has to be declined by a program that was built with older headers, too.
#ifdef FUSE_CAP_OVER_IO_URING
static const uint64_t cfuse_cap_over_io_uring = FUSE_CAP_OVER_IO_URING;
#else
static const uint64_t cfuse_cap_over_io_uring = UINT64_C(1) << 31;
#endif
// From libfuse 3.17 on; 0 is a capability that nobody has.
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
static const uint64_t cfuse_cap_direct_io_allow_mmap = FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
#else
static const uint64_t cfuse_cap_direct_io_allow_mmap = 0;
#endif

// Several direct writes to the file may be under way at one time; not in libfuse's interface before 3.15.
static inline void cfuse_allow_parallel_direct_writes(struct fuse_file_info *file) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 15)
  file->parallel_direct_writes = 1;
#else
  (void)file;
#endif
}

// <unistd.h> has these for _GNU_SOURCE only, without which the Glibc module is built.
static const int cfuse_seek_data = 3;
static const int cfuse_seek_hole = 4;

static inline int cfuse_clone_device(int clone, uint32_t session) {
  return ioctl(clone, FUSE_DEV_IOC_CLONE, &session);
}

#endif
