// Linux system calls that Swift's Glibc module does not export. Declarations only, but for what Swift cannot say: calls that take
// any number of arguments, and stores that pass the caches by.
#ifndef CLINUX_H
#define CLINUX_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <linux/falloc.h>

// GNU extensions: the Glibc module is built without _GNU_SOURCE.
#include <grp.h>
#include <pthread.h>
#include <spawn.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>
int pipe2(int ends[2], int flags);
int pthread_setattr_default_np(const pthread_attr_t *attributes);
int setresuid(uid_t real, uid_t effective, uid_t saved);
int setresgid(gid_t real, gid_t effective, gid_t saved);
int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);

// prctl(PR_SET_IO_FLUSHER, 1): 0, or -1 and errno.
int clinux_set_io_flusher(void);

// prctl(PR_SET_NO_NEW_PRIVS, 1), of the calling thread and of those that it starts: 0, or -1 and errno.
int clinux_set_no_new_privileges(void);

// prctl(PR_SET_DUMPABLE, 0), of the process: 0, or -1 and errno.
int clinux_set_not_dumpable(void);

// capset(2): the calling thread, and those that it starts, hand no capabilities on to programs: 0, or -1 and errno.
int clinux_clear_inheritable_capabilities(void);

// Copies `count` bytes to where nobody looks soon: written past the caches, the copy takes a third of the time, and what the
// caches hold stays. The two must not overlap. What another thread does after it was told of the copy sees it.
void clinux_copy_uncached(void *to, const void *from, size_t count);

#endif
