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
#include <pthread.h>
#include <spawn.h>
#include <semaphore.h>
#include <stddef.h>
#include <time.h>
int pipe2(int ends[2], int flags);
int pthread_setattr_default_np(const pthread_attr_t *attributes);
int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);

// prctl(PR_SET_IO_FLUSHER, 1): 0, or -1 and errno.
int clinux_set_io_flusher(void);

// Copies `count` bytes to where nobody looks soon: written past the caches, the copy takes a third of the time, and what the
// caches hold stays. The two must not overlap. What another thread does after it was told of the copy sees it.
void clinux_copy_uncached(void *to, const void *from, size_t count);

#endif
