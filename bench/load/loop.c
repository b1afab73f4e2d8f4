#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct totals totals;

static int poller;
static int live;
static const struct scenario *scenario;

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void fail(const struct connection *c, const char *format, ...) {
  totals.failures++;
  if (totals.first_failure[0] != '\0') return;
  char reason[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  snprintf(totals.first_failure, sizeof totals.first_failure, "%s, after: %.*s", reason,
           (int)strcspn(c->request.head, "\r"), c->request.head);
}

static void watch(struct connection *c, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (c->wants_write ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(poller, operation, c->socket, &event) != 0) die("epoll_ctl: %s", strerror(errno));
}

static void watch_for_write(struct connection *c, bool wants_write) {
  if (c->wants_write == wants_write) return;
  c->wants_write = wants_write;
  watch(c, EPOLL_CTL_MOD);
}

static void connect_to_server(struct connection *c) {
  c->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->socket < 0) die("socket: %s", strerror(errno));
  if (connect(c->socket, (struct sockaddr *)&options.address, sizeof options.address) != 0) {
    die("connect to %s: %s", options.host, strerror(errno));
  }
  setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  fcntl(c->socket, F_SETFL, O_NONBLOCK);
  c->wants_write = false;
  c->input_length = 0;
  watch(c, EPOLL_CTL_ADD);
}

static void hang_up(struct connection *c) {
  close(c->socket);
  c->socket = -1;
  live--;
}

static void reconnect(struct connection *c) {
  close(c->socket);
  connect_to_server(c);
}

static void push_out(struct connection *c) {
  switch (send_request(c)) {
  case BROKEN:
    hang_up(c);
    return;
  case WAITING:
    watch_for_write(c, true);
    return;
  case COMPLETE:
    watch_for_write(c, false);
  }
}

static void begin_request(struct connection *c) {
  c->phase = READING_HEAD;
  c->busy = scenario->next(c);
  if (c->busy) push_out(c);
  else hang_up(c);
}

/* True when the answer is the one that the scenario wants. */
static bool accept_answer(struct connection *c) {
  totals.requests++;
  int expected = scenario->expected(c);
  if (c->response.status != expected) {
    fail(c, "status %d instead of %d", c->response.status, expected);
    return false;
  }
  if (c->request.position < c->request.end) {
    fail(c, "an answer before the body was sent");
    return false;
  }
  c->step++;
  if (scenario->answered(c)) {
    totals.jobs++;
    c->step = 0;
  }
  return true;
}

static void take_in(struct connection *c) {
  enum progress progress = receive_response(c);
  if (progress == WAITING) return;
  if (progress == BROKEN || !accept_answer(c)) {
    hang_up(c);
    return;
  }
  if (c->response.closes) reconnect(c);
  begin_request(c);
}

static void handle(const struct epoll_event *event) {
  struct connection *c = event->data.ptr;
  if (c->socket >= 0 && (event->events & EPOLLOUT)) push_out(c);
  if (c->socket >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) take_in(c);
}

static void poll_once(double deadline) {
  struct epoll_event events[128];
  double left = deadline == 0 ? 1 : deadline - now();
  int count = epoll_wait(poller, events, 128, left <= 0 ? 0 : (int)(left * 1000) + 1);
  if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
  for (int i = 0; i < count; i++) handle(&events[i]);
}

void run(const struct scenario *chosen) {
  scenario = chosen;
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
  if (connections == NULL) die("no memory for the connections");
  double start = now();
  double deadline = options.seconds == 0 ? 0 : start + options.seconds;
  live = options.connections;
  for (int i = 0; i < options.connections; i++) {
    connect_to_server(&connections[i]);
    begin_request(&connections[i]);
  }
  while (live > 0 && totals.failures == 0 && (deadline == 0 || now() < deadline)) poll_once(deadline);
  if (totals.failures > 0) die("%s", totals.first_failure);
  printf("{\"jobs\":%lld,\"requests\":%lld,\"bytes\":%lld,\"seconds\":%.6f}\n",
         (long long)totals.jobs, (long long)totals.requests, (long long)totals.body_bytes, now() - start);
}
