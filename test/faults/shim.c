/*
 * Preloaded into a server: makes chosen system calls below one directory fail, fall short or do nothing.
 *
 *   ENTREPOT_TEST_SHIM_DIRECTORY   only calls on paths and descriptors below it count
 *   ENTREPOT_TEST_SHIM_CONTROL     a file of one page, mapped by every process: shim.ts writes its first fields to say
 *                                  what shall happen and reads the others to see what did
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, FAIL_ONCE, FAIL_ON, FALL_SHORT, PRETEND };
enum kind { WRITE, SYNC, RENAME, CREATE, MKDIR, UNLINK, TRUNCATE, OPEN, KINDS };
enum verdict { GO_ON, FAIL, SHORTEN, SKIP };

struct control {
  int64_t mode, error, nth, kinds;
  int64_t count, hits, first_kind, padding;
  int64_t by_kind[KINDS];
  char first_path[512];
};

static struct control *control;
static char directory[PATH_MAX];
static size_t directory_length;

__attribute__((constructor)) static void map_control(void) {
  const char *below = getenv("ENTREPOT_TEST_SHIM_DIRECTORY");
  const char *file = getenv("ENTREPOT_TEST_SHIM_CONTROL");
  if (below == NULL || file == NULL || strlen(below) >= sizeof directory) return;
  strcpy(directory, below);
  directory_length = strlen(directory);
  int descriptor = open(file, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (page != MAP_FAILED) control = page;
  close(descriptor);
}

static int is_below(const char *path) {
  return strncmp(path, directory, directory_length) == 0 && (path[directory_length] == '/' || path[directory_length] == 0);
}

static enum verdict judge(enum kind kind, const char *path) {
  int64_t mode = __atomic_load_n(&control->mode, __ATOMIC_ACQUIRE);
  if (mode == OFF || (control->kinds & (1 << kind)) == 0 || !is_below(path)) return GO_ON;
  int64_t at = __atomic_add_fetch(&control->count, 1, __ATOMIC_ACQ_REL);
  __atomic_add_fetch(&control->by_kind[kind], 1, __ATOMIC_ACQ_REL);
  if (mode == COUNT || (mode == FAIL_ONCE && at != control->nth) || (mode == FAIL_ON && at < control->nth)) return GO_ON;
  if (__atomic_fetch_add(&control->hits, 1, __ATOMIC_ACQ_REL) == 0) {
    control->first_kind = kind;
    snprintf(control->first_path, sizeof control->first_path, "%s", path + directory_length);
  }
  return mode == FALL_SHORT ? SHORTEN : mode == PRETEND ? SKIP : FAIL;
}

static enum verdict judge_path(enum kind kind, const char *path) {
  return control == NULL || control->mode == OFF ? GO_ON : judge(kind, path);
}

static enum verdict judge_descriptor(enum kind kind, int descriptor) {
  if (control == NULL || control->mode == OFF) return GO_ON;
  char link[64], path[PATH_MAX];
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return GO_ON;
  path[length] = 0;
  return judge(kind, path);
}

static int fail(void) {
  errno = (int)control->error;
  return -1;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* A call that does one thing or none: it fails, is skipped, or goes on. */
#define WHOLE(verdict, call) \
  switch (verdict) { \
    case FAIL: return fail(); \
    case SKIP: return 0; \
    default: return call; \
  }

static size_t half(size_t length) { return length > 1 ? length / 2 : length; }

#define WRITER(name, parameters, ...) \
  ssize_t name parameters { \
    REAL(name); \
    switch (judge_descriptor(WRITE, descriptor)) { \
      case FAIL: return fail(); \
      case SHORTEN: length = half(length); /* fall through */ \
      default: return real(__VA_ARGS__); \
    } \
  }

WRITER(write, (int descriptor, const void *bytes, size_t length), descriptor, bytes, length)
WRITER(pwrite, (int descriptor, const void *bytes, size_t length, off_t at), descriptor, bytes, length, at)
WRITER(pwrite64, (int descriptor, const void *bytes, size_t length, off64_t at), descriptor, bytes, length, at)

/* Half of a vector is half of its first piece. */
#define VECTOR_WRITER(name, parameters, ...) \
  ssize_t name parameters { \
    REAL(name); \
    struct iovec first; \
    switch (judge_descriptor(WRITE, descriptor)) { \
      case FAIL: return fail(); \
      case SHORTEN: \
        if (count > 0) { \
          first = pieces[0]; \
          first.iov_len = half(first.iov_len); \
          pieces = &first; \
          count = 1; \
        } /* fall through */ \
      default: return real(__VA_ARGS__); \
    } \
  }

VECTOR_WRITER(writev, (int descriptor, const struct iovec *pieces, int count), descriptor, pieces, count)
VECTOR_WRITER(pwritev, (int descriptor, const struct iovec *pieces, int count, off_t at), descriptor, pieces, count, at)
VECTOR_WRITER(pwritev64, (int descriptor, const struct iovec *pieces, int count, off64_t at), descriptor, pieces, count, at)

int fsync(int descriptor) {
  REAL(fsync);
  WHOLE(judge_descriptor(SYNC, descriptor), real(descriptor))
}

int fdatasync(int descriptor) {
  REAL(fdatasync);
  WHOLE(judge_descriptor(SYNC, descriptor), real(descriptor))
}

int ftruncate(int descriptor, off_t length) {
  REAL(ftruncate);
  WHOLE(judge_descriptor(TRUNCATE, descriptor), real(descriptor, length))
}

int ftruncate64(int descriptor, off64_t length) {
  REAL(ftruncate64);
  WHOLE(judge_descriptor(TRUNCATE, descriptor), real(descriptor, length))
}

int rename(const char *from, const char *to) {
  REAL(rename);
  WHOLE(judge_path(RENAME, to), real(from, to))
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  WHOLE(judge_path(MKDIR, path), real(path, mode))
}

int unlink(const char *path) {
  REAL(unlink);
  WHOLE(judge_path(UNLINK, path), real(path))
}

int rmdir(const char *path) {
  REAL(rmdir);
  WHOLE(judge_path(UNLINK, path), real(path))
}

#define OPENER(name, parameters, ...) \
  int name parameters { \
    REAL(name); \
    mode_t mode = 0; \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
      va_list rest; \
      va_start(rest, flags); \
      mode = va_arg(rest, mode_t); \
      va_end(rest); \
    } \
    if (judge_path(flags & O_CREAT ? CREATE : OPEN, path) == FAIL) return fail(); \
    return real(__VA_ARGS__, flags, mode); \
  }

OPENER(open, (const char *path, int flags, ...), path)
OPENER(open64, (const char *path, int flags, ...), path)
OPENER(openat, (int at, const char *path, int flags, ...), at, path)
OPENER(openat64, (int at, const char *path, int flags, ...), at, path)
