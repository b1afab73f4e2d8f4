/*
 * Slow pullers: every connection asks for the plan's first target and reads it at options.rate. A small receive buffer
 * keeps the rest of the blob on the server's side, which is what is measured there.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVE_BUFFER = 16384, TICK_MS = 50 };

struct puller {
  int socket;
  int64_t received;
  int64_t received_at_mark; /* at two thirds of the time */
};

static struct puller *pullers;

static int open_socket(void) {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) die("socket: %s", strerror(errno));
  setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER}, sizeof(int));
  if (connect(descriptor, (struct sockaddr *)&options.address, sizeof options.address) != 0) {
    die("connect to %s: %s", options.host, strerror(errno));
  }
  return descriptor;
}

static void start_puller(struct puller *puller) {
  char request[TARGET_CAPACITY + 256];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", plan.lines[0], options.host);
  puller->socket = open_socket();
  if (send(puller->socket, request, (size_t)length, MSG_NOSIGNAL) != length) die("send: %s", strerror(errno));
}

static void read_status(struct puller *puller) {
  static const char wanted[] = "HTTP/1.1 200";
  char status[sizeof wanted - 1];
  ssize_t length = recv(puller->socket, status, sizeof status, MSG_WAITALL);
  if (length != (ssize_t)sizeof status || memcmp(status, wanted, sizeof status) != 0) {
    die("a slow puller was answered %.*s", (int)(length < 0 ? 0 : length), status);
  }
  fcntl(puller->socket, F_SETFL, O_NONBLOCK);
}

static void pull_some(struct puller *puller, int64_t allowed) {
  while (puller->received < allowed) {
    ssize_t length = recv(puller->socket, NULL, (size_t)(allowed - puller->received), MSG_TRUNC);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) die("a slow puller was cut off after %lld bytes", (long long)puller->received);
    puller->received += length;
  }
}

static void pull_until(double start, double end) {
  while (now() < end) {
    int64_t allowed = (int64_t)((now() - start) * (double)options.rate);
    for (int i = 0; i < options.connections; i++) pull_some(&pullers[i], allowed);
    nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
  }
}

static void report(double seconds) {
  int progressing = 0;
  int64_t least = INT64_MAX, total = 0;
  for (int i = 0; i < options.connections; i++) {
    if (pullers[i].received > pullers[i].received_at_mark) progressing++;
    if (pullers[i].received < least) least = pullers[i].received;
    total += pullers[i].received;
  }
  printf("{\"connections\":%d,\"progressing\":%d,\"leastBytes\":%lld,\"bytes\":%lld,\"seconds\":%.6f}\n",
         options.connections, progressing, (long long)least, (long long)total, seconds);
}

void run_slow_pullers(void) {
  pullers = calloc((size_t)options.connections, sizeof *pullers);
  if (pullers == NULL) die("no memory for the pullers");
  for (int i = 0; i < options.connections; i++) start_puller(&pullers[i]);
  for (int i = 0; i < options.connections; i++) read_status(&pullers[i]);
  double start = now();
  pull_until(start, start + options.seconds * 2 / 3);
  for (int i = 0; i < options.connections; i++) pullers[i].received_at_mark = pullers[i].received;
  pull_until(start, start + options.seconds);
  report(now() - start);
}
