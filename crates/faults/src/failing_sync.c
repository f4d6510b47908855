/* Loaded into a node before the C library: syncs fail while the file named by HIGHWATER_FAULTS_SYNC exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(void) {
    const char *name = getenv("HIGHWATER_FAULTS_SYNC");
    int saved = errno;
    int found = name && access(name, F_OK) == 0;
    errno = found ? EIO : saved;
    return found;
}

int fsync(int fd) { return fails() ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return fails() ? -1 : (int)syscall(SYS_fdatasync, fd); }

int syncfs(int fd) { return fails() ? -1 : (int)syscall(SYS_syncfs, fd); }

int msync(void *start, size_t size, int flags) { return fails() ? -1 : (int)syscall(SYS_msync, start, size, flags); }

int sync_file_range(int fd, off64_t from, off64_t size, unsigned int flags) {
    return fails() ? -1 : (int)syscall(SYS_sync_file_range, fd, from, size, flags);
}
