#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* A blob is the filler over and over, cut off, with SUFFIX_LENGTH unique bytes at its end. */
static int filler_descriptor = -1;
static const char *filler;
static int64_t filler_length;

enum { SENDFILE_FROM = 65536 };

void open_filler(const char *file) {
  struct stat status;
  filler_descriptor = open(file, O_RDONLY | O_CLOEXEC);
  if (filler_descriptor < 0 || fstat(filler_descriptor, &status) != 0) die("cannot read the filler %s", file);
  filler_length = status.st_size;
  filler = mmap(NULL, (size_t)filler_length, PROT_READ, MAP_SHARED, filler_descriptor, 0);
  if (filler == MAP_FAILED) die("cannot map the filler %s", file);
}

void start_request(struct connection *c, const char *method, const char *target, const char *headers) {
  struct request *request = &c->request;
  *request = (struct request){.head_only = strcmp(method, "HEAD") == 0};
  int length = snprintf(request->head, sizeof request->head, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, target,
                        options.host, headers);
  if (length < 0 || (size_t)length >= sizeof request->head) die("a request's head is too long");
  request->head_length = (size_t)length;
}

void attach_body(struct connection *c, const char *body, int64_t length) {
  c->request.body = body;
  c->request.end = length;
}

void attach_blob(struct connection *c, int64_t from, int64_t to, const char *suffix) {
  c->request.position = from;
  c->request.end = to;
  c->request.suffix = suffix;
}

/* The next stretch of the body that lies in one piece of memory. */
static struct iovec next_piece(const struct request *request, int64_t position) {
  int64_t length = request->end - position;
  if (length <= 0) return (struct iovec){0};
  if (request->body != NULL) return (struct iovec){(void *)(request->body + position), (size_t)length};
  int64_t filled = options.size - SUFFIX_LENGTH;
  if (position >= filled) return (struct iovec){(void *)(request->suffix + (position - filled)), (size_t)length};
  int64_t offset = position % filler_length;
  if (length > filled - position) length = filled - position;
  if (length > filler_length - offset) length = filler_length - offset;
  return (struct iovec){(void *)(filler + offset), (size_t)length};
}

static bool is_filler(const struct iovec *piece) {
  const char *base = piece->iov_base;
  return filler != NULL && base >= filler && base < filler + filler_length;
}

static ssize_t send_file(struct connection *c, const struct iovec *piece) {
  off_t offset = (const char *)piece->iov_base - filler;
  return sendfile(c->socket, filler_descriptor, &offset, piece->iov_len);
}

static ssize_t send_memory(struct connection *c, const struct iovec *piece) {
  struct request *request = &c->request;
  struct iovec pieces[3] = {{request->head + request->head_sent, request->head_length - request->head_sent}, *piece};
  /* A large piece follows by sendfile; so does the end of the blob after a small one. */
  if (is_filler(piece) && piece->iov_len >= SENDFILE_FROM) pieces[1].iov_len = 0;
  else pieces[2] = next_piece(request, request->position + (int64_t)piece->iov_len);
  if (pieces[2].iov_len >= SENDFILE_FROM) pieces[2].iov_len = 0;
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};
  size_t length = pieces[0].iov_len + pieces[1].iov_len + pieces[2].iov_len;
  bool more = request->position + (int64_t)(length - pieces[0].iov_len) < request->end;
  return sendmsg(c->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

static ssize_t send_some(struct connection *c) {
  const struct request *request = &c->request;
  struct iovec piece = next_piece(request, request->position);
  bool head_is_out = request->head_sent == request->head_length;
  if (head_is_out && is_filler(&piece) && piece.iov_len >= SENDFILE_FROM) return send_file(c, &piece);
  return send_memory(c, &piece);
}

static void account(struct request *request, size_t length) {
  size_t head = request->head_length - request->head_sent;
  if (head > length) head = length;
  request->head_sent += head;
  request->position += (int64_t)(length - head);
}

static bool is_sent(const struct request *request) {
  return request->head_sent == request->head_length && request->position >= request->end;
}

enum progress send_request(struct connection *c) {
  for (int turn = 0; turn < 16 && !is_sent(&c->request); turn++) {
    ssize_t length = send_some(c);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return WAITING;
    if (length <= 0) {
      fail(c, "sending: %s", strerror(errno));
      return BROKEN;
    }
    account(&c->request, (size_t)length);
  }
  return is_sent(&c->request) ? COMPLETE : WAITING;
}
