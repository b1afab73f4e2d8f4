/*
 * What a small durable push costs when nothing but the file system is at work: the files, renames and syncs of the commit
 * protocol (docs/architecture.md) for a 4 KiB blob and its link, and one sync of a log, in as many threads as there are
 * connections. No HTTP, no hash, no index.
 *
 *   cc -O2 -pthread -o /tmp/push-floor bench/floor/push.c && /tmp/push-floor DIRECTORY THREADS PUSHES
 *
 * Prints pushes per second and CPU time per push. DIRECTORY is made and stays: deleting its files makes ext4 slower at
 * making new ones for a while.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOB_BYTES = 4096, LINK_BYTES = 71, LOG_PAGES = 8, LOG_BYTES = 4 << 20, SHARDS = 256 };

static const char bytes[BLOB_BYTES];
static int pushes_each;

static void must(int result, const char *what) {
  if (result < 0) err(1, "%s", what);
}

static void make_directory(const char *path) { must(mkdir(path, 0755), path); }

static void sync_directory(const char *path) {
  int directory = open(path, O_RDONLY | O_DIRECTORY);
  must(directory, path);
  must(fsync(directory), path);
  close(directory);
}

/* A file that is durable under its name, in a directory of its own that `parent` durably leads to. */
static void place(const char *temporary, size_t size, const char *parent, const char *directory, const char *name) {
  char target[512];
  int file = open(temporary, O_CREAT | O_EXCL | O_RDWR, 0644);
  must(file, temporary);
  if (pwrite(file, bytes, size, 0) != (ssize_t)size) err(1, "%s", temporary);
  must(fdatasync(file), temporary);
  close(file);
  make_directory(directory);
  sync_directory(parent);
  snprintf(target, sizeof target, "%s/%s", directory, name);
  must(rename(temporary, target), target);
  sync_directory(directory);
}

static void *push_all(void *argument) {
  const long thread = (long)argument;
  char log_path[64], temporary[128], parent[128], directory[256];
  snprintf(log_path, sizeof log_path, "log-%ld", thread);
  int log = open(log_path, O_CREAT | O_RDWR, 0644);
  must(log, log_path);
  off_t at = 0;
  for (int i = 0; i < pushes_each; i++) {
    const unsigned digest = (unsigned)random();
    snprintf(temporary, sizeof temporary, "tmp/%ld-%d", thread, i);
    snprintf(parent, sizeof parent, "blobs/%02x", digest % SHARDS);
    snprintf(directory, sizeof directory, "%s/%ld-%d-%u", parent, thread, i, digest);
    place(temporary, BLOB_BYTES, parent, directory, "data");
    snprintf(directory, sizeof directory, "layers/%ld-%d-%u", thread, i, digest);
    place(temporary, LINK_BYTES, "layers", directory, "link");
    for (int page = 0; page < LOG_PAGES; page++, at = (at + BLOB_BYTES) % LOG_BYTES)
      if (pwrite(log, bytes, BLOB_BYTES, at) != BLOB_BYTES) err(1, "%s", log_path);
    must(fdatasync(log), log_path);
  }
  close(log);
  return NULL;
}

static double seconds(struct timespec time) { return (double)time.tv_sec + (double)time.tv_nsec / 1e9; }

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void prepare(const char *root) {
  make_directory(root);
  must(chdir(root), root);
  make_directory("tmp");
  make_directory("layers");
  make_directory("blobs");
  for (int shard = 0; shard < SHARDS; shard++) {
    char path[64];
    snprintf(path, sizeof path, "blobs/%02x", shard);
    make_directory(path);
  }
  sync();
}

int main(int count, char **arguments) {
  if (count != 4) errx(2, "usage: push-floor DIRECTORY THREADS PUSHES");
  const int threads = atoi(arguments[2]), pushes = atoi(arguments[3]);
  if (threads < 1 || threads > 64 || pushes < threads) errx(2, "1 to 64 threads, and a push for each of them");
  pushes_each = pushes / threads;
  prepare(arguments[1]);
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  const double cpu = cpu_seconds();
  pthread_t running[64];
  for (long i = 0; i < threads; i++)
    if (pthread_create(&running[i], NULL, push_all, (void *)i) != 0) errx(1, "no thread");
  for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  const double done = (double)pushes_each * threads;
  printf("%d threads: %.0f pushes/s, %.0f us of CPU each\n", threads, done / (seconds(end) - seconds(start)),
         (cpu_seconds() - cpu) * 1e6 / done);
  return 0;
}
