// Linux system calls that Swift's Glibc module does not export. Declarations only, but for calls that take any number of
// arguments, which Swift cannot make.
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
#include <time.h>
int pipe2(int ends[2], int flags);
int pthread_setattr_default_np(const pthread_attr_t *attributes);
int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);

// prctl(PR_SET_IO_FLUSHER, 1): 0, or -1 and errno.
int clinux_set_io_flusher(void);

#endif
