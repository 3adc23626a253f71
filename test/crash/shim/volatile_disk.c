/* A disk with a volatile cache, as a library for LD_PRELOAD: it keeps a journal of everything that a
 * process changes beneath one directory, with what was there before, and of every sync that succeeded.
 * After a SIGKILL, `../volatile-disk.ts` reads the journal and puts the files into a state that the disk
 * could have had after a power cut: whatever no sync covered may be gone.
 *
 * Environment: VOLATILE_DISK_DIR (the directory), VOLATILE_DISK_JOURNAL (a file outside it),
 * VOLATILE_DISK_GRAVES (a folder outside it on the same file system: links to what is unlinked or
 * replaced), VOLATILE_DISK_SYNC_US (a sync takes up to so many microseconds longer, which widens the
 * window in which there is something to lose), VOLATILE_DISK_FAIL_SYNC (the number of the file sync,
 * from 1, that fails with EIO).
 *
 * A record stands in the journal before its change is made, and a sync's after the sync returned 0.
 * The position of a record in the journal is its number, so that numbers go on where a process ends
 * and the next one begins. A sync covers the records before the position at which it began.
 *
 * What has no record here is refused loudly: writable shared mappings, copy_file_range, sendfile and
 * remove() leave an UNSUPPORTED record, at which `../volatile-disk.ts` throws. Not seen at all are
 * stdio, io_uring and system calls made without libc. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_DSYNC
#define RWF_DSYNC 2
#endif
#ifndef RWF_SYNC
#define RWF_SYNC 4
#endif
#ifndef RWF_APPEND
#define RWF_APPEND 16
#endif

/* Layout and kinds are also in ../journal.ts. */
enum kind {
    WRITE = 1,
    SYNC = 2,
    WRITE_SYNCED = 3,
    TRUNCATE = 4,
    ALLOCATE = 5,
    CREATE = 6,
    MKDIR = 7,
    RENAME = 8,
    UNLINK = 9,
    RMDIR = 10,
    UNSUPPORTED = 11,
    SYNC_DIRECTORY = 12,
    SYNC_FAILED = 13,
};

#define MAGIC 0x4b534456u

struct record {
    uint32_t magic;
    uint32_t kind;
    uint64_t inode;
    uint64_t offset;
    uint64_t length;
    uint64_t size_before;
    /* SYNC*: covers records before this position. WRITE_SYNCED: the position of the write. */
    uint64_t position;
    uint32_t path_bytes;
    uint32_t other_bytes;
    uint32_t data_bytes;
    uint32_t reserved;
};
_Static_assert(sizeof(struct record) == 64, "a record header has 64 bytes");

static char watched[PATH_MAX];
static size_t watched_length; /* 0: not set up, everything passes. */
static char graves[PATH_MAX];
static int journal = -1;
static long sync_us_max;
static long sync_failing;
static long syncs;
static unsigned int chance;
/* Held from a change's record to its end, so that the journal has the order of the changes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what) {
    dprintf(2, "volatile_disk: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void set_up(void) {
    const char *directory = getenv("VOLATILE_DISK_DIR");
    const char *file = getenv("VOLATILE_DISK_JOURNAL");
    const char *folder = getenv("VOLATILE_DISK_GRAVES");
    if (directory == NULL || file == NULL || folder == NULL) return;
    if (realpath(directory, watched) == NULL) die(directory);
    if (realpath(folder, graves) == NULL) die(folder);
    journal = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) die(file);
    const char *delay = getenv("VOLATILE_DISK_SYNC_US");
    if (delay != NULL) sync_us_max = atol(delay);
    const char *failing = getenv("VOLATILE_DISK_FAIL_SYNC");
    if (failing != NULL) sync_failing = atol(failing);
    chance = (unsigned int)getpid();
    watched_length = strlen(watched);
}

/* --- what is watched --- */

static int is_beneath(const char *path) {
    return watched_length > 0 && strncmp(path, watched, watched_length) == 0 &&
           (path[watched_length] == '/' || path[watched_length] == '\0');
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return 1;
}

/* Whether a descriptor is of a file or directory that is watched. Leaves errno as it was. */
static int is_watched(int fd, struct stat *status, char *path) {
    if (watched_length == 0 || fd < 0) return 0;
    int before = errno;
    int is = fstat(fd, status) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) &&
             path_of(fd, path) && is_beneath(path);
    errno = before;
    return is;
}

/* The path without links and dots, its last part as it is; 0 where it is not watched. */
static int resolve(int directory, const char *path, char *full) {
    if (watched_length == 0 || path == NULL) return 0;
    int before = errno;
    char joined[PATH_MAX];
    char parent[PATH_MAX];
    if (path[0] == '/' || directory == AT_FDCWD) {
        if (snprintf(joined, sizeof joined, "%s", path) >= (int)sizeof joined) return 0;
    } else {
        if (!path_of(directory, parent)) return 0;
        if (snprintf(joined, sizeof joined, "%s/%s", parent, path) >= (int)sizeof joined) return 0;
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = '\0';
    char *slash = strrchr(joined, '/');
    const char *name = slash == NULL ? joined : slash + 1;
    const char *above = slash == NULL ? "." : joined;
    if (slash != NULL) *slash = '\0';
    int is = realpath(above[0] == '\0' ? "/" : above, parent) != NULL &&
             snprintf(full, PATH_MAX, "%s/%s", parent, name) < PATH_MAX && is_beneath(full);
    errno = before;
    return is;
}

/* --- the journal --- */

static uint64_t journal_end(void) {
    struct stat status;
    if (fstat(journal, &status) != 0) die("journal");
    return (uint64_t)status.st_size;
}

/* Appends a record with one write; gives its position. The caller holds the lock. */
static uint64_t append(struct record record, const char *path, const char *other,
                       const void *data, size_t data_bytes) {
    uint64_t position = journal_end();
    record.magic = MAGIC;
    record.path_bytes = path == NULL ? 0 : strlen(path);
    record.other_bytes = other == NULL ? 0 : strlen(other);
    record.data_bytes = data_bytes;
    size_t total = sizeof record + record.path_bytes + record.other_bytes + data_bytes;
    char *bytes = malloc(total);
    if (bytes == NULL) die("memory");
    char *end = mempcpy(bytes, &record, sizeof record);
    if (path != NULL) end = mempcpy(end, path, record.path_bytes);
    if (other != NULL) end = mempcpy(end, other, record.other_bytes);
    if (data != NULL) memcpy(end, data, data_bytes);
    if (syscall(SYS_write, journal, bytes, total) != (ssize_t)total) die("journal write");
    free(bytes);
    return position;
}

static void unsupported(const char *what, const char *path) {
    pthread_mutex_lock(&lock);
    append((struct record){.kind = UNSUPPORTED}, path, what, NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* Bytes of a file, through a descriptor of its own where this one can't read them. */
static char *read_old(int fd, uint64_t offset, uint64_t length) {
    char *bytes = malloc(length == 0 ? 1 : length);
    if (bytes == NULL) die("memory");
    int reader = fd;
    int own = -1;
    uint64_t done = 0;
    while (done < length) {
        ssize_t count = syscall(SYS_pread64, reader, bytes + done, length - done, offset + done);
        if (count > 0) {
            done += count;
        } else if (count == 0) {
            memset(bytes + done, 0, length - done);
            break;
        } else if (own < 0) {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            own = reader = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
            if (own < 0) die("reopen");
        } else {
            die("read old bytes");
        }
    }
    if (own >= 0) syscall(SYS_close, own);
    return bytes;
}

/* --- bytes --- */

static uint64_t record_write(int fd, const struct stat *status, const char *path, uint64_t offset,
                             uint64_t length) {
    uint64_t size = status->st_size;
    uint64_t old = offset >= size ? 0 : size - offset < length ? size - offset : length;
    char *bytes = old == 0 ? NULL : read_old(fd, offset, old);
    uint64_t position = append((struct record){.kind = WRITE, .inode = status->st_ino,
                                               .offset = offset, .length = length,
                                               .size_before = size},
                               path, NULL, bytes, old);
    free(bytes);
    return position;
}

enum { AT_CURSOR = -1 };

/* One write of any form: offset AT_CURSOR for the forms without one. */
static ssize_t watched_write(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    struct stat status;
    char path[PATH_MAX];
    if (!is_watched(fd, &status, path)) {
        if (offset == AT_CURSOR) return syscall(SYS_writev, fd, parts, count);
        return syscall(SYS_pwritev2, fd, parts, count, (long)offset, 0L, flags);
    }
    uint64_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    int open_flags = fcntl(fd, F_GETFL);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &status) != 0) die("fstat");
    uint64_t at = (open_flags & O_APPEND) || (flags & RWF_APPEND) ? (uint64_t)status.st_size
                  : offset == AT_CURSOR ? (uint64_t)lseek(fd, 0, SEEK_CUR)
                                        : (uint64_t)offset;
    uint64_t position = record_write(fd, &status, path, at, length);
    ssize_t written = offset == AT_CURSOR && flags == 0
                          ? syscall(SYS_writev, fd, parts, count)
                          : syscall(SYS_pwritev2, fd, parts, count, (long)offset, 0L, flags);
    int result = errno;
    if (written > 0 && ((open_flags & O_DSYNC) || (flags & (RWF_DSYNC | RWF_SYNC)))) {
        append((struct record){.kind = WRITE_SYNCED, .inode = status.st_ino, .position = position},
               NULL, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = result;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    struct stat status;
    char path[PATH_MAX];
    if (!is_watched(fd, &status, path)) return syscall(SYS_write, fd, bytes, length);
    return watched_write(fd, &part, 1, AT_CURSOR, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    struct iovec part = {(void *)bytes, length};
    struct stat status;
    char path[PATH_MAX];
    if (offset < 0 || !is_watched(fd, &status, path)) {
        return syscall(SYS_pwrite64, fd, bytes, length, offset);
    }
    return watched_write(fd, &part, 1, offset, 0);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return watched_write(fd, parts, count, AT_CURSOR, 0);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    return watched_write(fd, parts, count, offset, flags);
}
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    return pwritev64v2(fd, parts, count, offset, flags);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return pwritev64v2(fd, parts, count, offset, 0);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64v2(fd, parts, count, offset, 0);
}

/* --- sizes --- */

static void record_truncate(int fd, const struct stat *status, const char *path, uint64_t size) {
    uint64_t before = status->st_size;
    uint64_t cut = size < before ? before - size : 0;
    char *bytes = cut == 0 ? NULL : read_old(fd, size, cut);
    append((struct record){.kind = TRUNCATE, .inode = status->st_ino, .offset = size,
                           .size_before = before},
           path, NULL, bytes, cut);
    free(bytes);
}

int ftruncate64(int fd, off64_t size) {
    struct stat status;
    char path[PATH_MAX];
    if (size < 0 || !is_watched(fd, &status, path)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &status) != 0) die("fstat");
    record_truncate(fd, &status, path, size);
    int result = syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int truncate64(const char *path, off64_t size) {
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = ftruncate64(fd, size);
    int error = errno;
    syscall(SYS_close, fd);
    errno = error;
    return result;
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    struct stat status;
    char path[PATH_MAX];
    if (!is_watched(fd, &status, path)) return syscall(SYS_fallocate, fd, mode, offset, length);
    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) unsupported("fallocate with a mode", path);
    pthread_mutex_lock(&lock);
    if (fstat(fd, &status) != 0) die("fstat");
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
        append((struct record){.kind = ALLOCATE, .inode = status.st_ino, .offset = offset,
                               .length = length, .size_before = status.st_size},
               path, NULL, NULL, 0);
    }
    int result = syscall(SYS_fallocate, fd, mode, offset, length);
    pthread_mutex_unlock(&lock);
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fallocate64(fd, mode, offset, length);
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    int before = errno;
    int result = fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
    errno = before;
    return result;
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    return posix_fallocate64(fd, offset, length);
}

/* --- syncs --- */

static int watched_sync(int fd, long number) {
    struct stat status;
    char path[PATH_MAX];
    if (!is_watched(fd, &status, path)) return syscall(number, fd);
    int is_directory = S_ISDIR(status.st_mode);
    pthread_mutex_lock(&lock);
    uint64_t position = journal_end();
    int fails = !is_directory && ++syncs == sync_failing;
    long delay = sync_us_max == 0 ? 0 : rand_r(&chance) % (sync_us_max + 1);
    pthread_mutex_unlock(&lock);
    if (delay > 0) {
        struct timespec time = {delay / 1000000, delay % 1000000 * 1000};
        nanosleep(&time, NULL);
    }
    int result = fails ? -1 : syscall(number, fd);
    int error = fails ? EIO : errno;
    /* As Linux does: after a failure the pages count as clean, and no later sync covers them. */
    enum kind kind = result != 0 ? SYNC_FAILED : is_directory ? SYNC_DIRECTORY : SYNC;
    pthread_mutex_lock(&lock);
    append((struct record){.kind = kind, .inode = status.st_ino, .position = position}, path, NULL,
           NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int fsync(int fd) { return watched_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return watched_sync(fd, SYS_fdatasync); }

/* --- names --- */

/* Links a file into the graves, so that its inode lives on; gives the name there. */
static void bury(const char *path, char *name) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char grave[2 * PATH_MAX];
    snprintf(name, NAME_MAX, "%lld%09ld", (long long)now.tv_sec, now.tv_nsec);
    snprintf(grave, sizeof grave, "%s/%s", graves, name);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0) die("link into the graves");
}

static int watched_open(int directory, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    if ((flags & (O_CREAT | O_TRUNC)) == 0 || !resolve(directory, path, full)) {
        return syscall(SYS_openat, directory, path, flags, mode);
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) unsupported("O_TMPFILE", full);
    pthread_mutex_lock(&lock);
    struct stat status;
    int exists = syscall(SYS_newfstatat, AT_FDCWD, full, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!exists && (flags & O_CREAT)) {
        append((struct record){.kind = CREATE}, full, NULL, NULL, 0);
    } else if (exists && (flags & O_TRUNC) && !(flags & O_EXCL) && status.st_size > 0) {
        int reader = syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC);
        if (reader < 0) die("open for reading");
        record_truncate(reader, &status, full, 0);
        syscall(SYS_close, reader);
    }
    int fd = syscall(SYS_openat, directory, path, flags, mode);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE_ARGUMENT(flags)                                   \
    mode_t mode = 0;                                           \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                     \
        va_list arguments;                                     \
        va_start(arguments, flags);                            \
        mode = va_arg(arguments, mode_t);                      \
        va_end(arguments);                                     \
    }

int open(const char *path, int flags, ...) {
    MODE_ARGUMENT(flags)
    return watched_open(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE_ARGUMENT(flags)
    return watched_open(AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT(flags)
    return watched_open(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT(flags)
    return watched_open(directory, path, flags, mode);
}
int creat(const char *path, mode_t mode) {
    return watched_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int renameat2(int from_directory, const char *from, int to_directory, const char *to,
              unsigned int flags) {
    char source[PATH_MAX];
    char target[PATH_MAX];
    int is_source = resolve(from_directory, from, source);
    int is_target = resolve(to_directory, to, target);
    if (!is_source && !is_target) {
        return syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    }
    if (!is_source || !is_target || (flags & ~1u) != 0) unsupported("rename", is_source ? source : target);
    pthread_mutex_lock(&lock);
    struct stat status;
    struct stat replaced;
    char grave[NAME_MAX] = "";
    if (syscall(SYS_newfstatat, AT_FDCWD, source, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        if (syscall(SYS_newfstatat, AT_FDCWD, target, &replaced, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(replaced.st_mode)) {
            bury(target, grave);
        }
        append((struct record){.kind = RENAME, .inode = status.st_ino}, source, target, grave,
               strlen(grave));
    }
    int result = syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, 0);
}
int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int directory, const char *path, int flags) {
    char full[PATH_MAX];
    if (!resolve(directory, path, full)) return syscall(SYS_unlinkat, directory, path, flags);
    pthread_mutex_lock(&lock);
    struct stat status;
    char grave[NAME_MAX] = "";
    if (syscall(SYS_newfstatat, AT_FDCWD, full, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISREG(status.st_mode)) bury(full, grave);
        append((struct record){.kind = (flags & AT_REMOVEDIR) ? RMDIR : UNLINK,
                               .inode = status.st_ino},
               full, NULL, grave, strlen(grave));
    }
    int result = syscall(SYS_unlinkat, directory, path, flags);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!resolve(directory, path, full)) return syscall(SYS_mkdirat, directory, path, mode);
    pthread_mutex_lock(&lock);
    struct stat status;
    if (syscall(SYS_newfstatat, AT_FDCWD, full, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        append((struct record){.kind = MKDIR}, full, NULL, NULL, 0);
    }
    int result = syscall(SYS_mkdirat, directory, path, mode);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* A further name of a file: taken back like one that was made. */
int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char full[PATH_MAX];
    if (!resolve(to_directory, to, full)) {
        return syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    }
    pthread_mutex_lock(&lock);
    struct stat status;
    if (syscall(SYS_newfstatat, AT_FDCWD, full, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        append((struct record){.kind = CREATE}, full, NULL, NULL, 0);
    }
    int result = syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* --- what has no record --- */

int remove(const char *path) {
    char full[PATH_MAX];
    if (resolve(AT_FDCWD, path, full)) unsupported("remove", full);
    if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0) return 0;
    return errno == EISDIR ? syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR) : -1;
}
static void refuse(int fd, const char *what) {
    struct stat status;
    char path[PATH_MAX];
    if (is_watched(fd, &status, path)) unsupported(what, path);
}
ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length,
                        unsigned int flags) {
    refuse(out, "copy_file_range");
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, length, flags);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    refuse(out, "sendfile");
    return syscall(SYS_sendfile, out, in, offset, count);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    return sendfile64(out, in, offset, count);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_TYPE) != MAP_PRIVATE) {
        refuse(fd, "mmap");
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(address, length, protection, flags, fd, offset);
}
