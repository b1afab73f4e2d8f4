#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void consume(struct connection *c, size_t length) {
  c->input_length -= length;
  memmove(c->input, c->input + length, c->input_length);
}

/* The body's bytes that are already in the buffer. */
static void consume_body(struct connection *c) {
  size_t length = c->input_length;
  if ((int64_t)length > c->remaining) length = (size_t)c->remaining;
  c->remaining -= (int64_t)length;
  totals.body_bytes += (int64_t)length;
  consume(c, length);
}

static enum progress begin_body(struct connection *c) {
  const struct response *response = &c->response;
  bool empty = c->request.head_only || response->status == 204 || response->status == 304;
  c->remaining = empty ? 0 : response->content_length;
  c->phase = response->chunked && !empty ? READING_CHUNK_SIZE : READING_LENGTH;
  if (c->phase == READING_LENGTH && c->remaining < 0) {
    fail(c, "an answer with neither Content-Length nor chunks");
    return BROKEN;
  }
  return WAITING;
}

static enum progress read_head(struct connection *c) {
  const char *end = memmem(c->input, c->input_length, "\r\n\r\n", 4);
  if (end == NULL) {
    if (c->input_length < sizeof c->input) return WAITING;
    fail(c, "an answer whose head is too long");
    return BROKEN;
  }
  size_t length = (size_t)(end - c->input) + 4;
  if (!parse_response(c->input, length, &c->response)) {
    fail(c, "not an HTTP/1.1 answer");
    return BROKEN;
  }
  consume(c, length);
  return begin_body(c);
}

/* A line of the chunked coding: true when it was there and is taken out; its text is in `line`. */
static bool take_text_line(struct connection *c, char *line, size_t capacity) {
  const char *end = memmem(c->input, c->input_length, "\r\n", 2);
  if (end == NULL) return false;
  size_t length = (size_t)(end - c->input);
  size_t kept = length < capacity ? length : capacity - 1;
  memcpy(line, c->input, kept);
  line[kept] = '\0';
  consume(c, length + 2);
  return true;
}

static void read_chunk_line(struct connection *c) {
  char line[64];
  if (!take_text_line(c, line, sizeof line)) return;
  if (c->phase == READING_CHUNK_END) {
    c->phase = READING_CHUNK_SIZE;
  } else if (c->phase == READING_CHUNK_SIZE) {
    c->remaining = strtoll(line, NULL, 16);
    c->phase = c->remaining == 0 ? READING_TRAILER : READING_CHUNK;
  } else if (line[0] == '\0') {
    c->phase = READING_LENGTH; /* with nothing remaining: the answer is complete */
  }
}

/* One step over what is in the buffer; WAITING when it needs more or made a step. */
static enum progress parse_step(struct connection *c) {
  switch (c->phase) {
  case READING_HEAD:
    return read_head(c);
  case READING_LENGTH:
    consume_body(c);
    return c->remaining == 0 ? COMPLETE : WAITING;
  case READING_CHUNK:
    consume_body(c);
    if (c->remaining == 0) c->phase = READING_CHUNK_END;
    return WAITING;
  default:
    read_chunk_line(c);
    return WAITING;
  }
}

static enum progress parse_input(struct connection *c) {
  for (;;) {
    enum phase phase = c->phase;
    size_t length = c->input_length;
    enum progress progress = parse_step(c);
    if (progress != WAITING) return progress;
    if (c->phase == phase && c->input_length == length) return WAITING;
  }
}

/* TCP drops what MSG_TRUNC reads inside the kernel, without a copy: tcp(7). */
static ssize_t discard_body(struct connection *c) {
  ssize_t length = recv(c->socket, NULL, (size_t)c->remaining, MSG_TRUNC | MSG_DONTWAIT);
  if (length > 0) {
    c->remaining -= length;
    totals.body_bytes += length;
  }
  return length;
}

static ssize_t receive_some(struct connection *c) {
  bool in_body = c->phase == READING_LENGTH || c->phase == READING_CHUNK;
  if (in_body && c->input_length == 0 && c->remaining > 0) return discard_body(c);
  size_t space = sizeof c->input - c->input_length;
  ssize_t length = recv(c->socket, c->input + c->input_length, space, MSG_DONTWAIT);
  if (length > 0) c->input_length += (size_t)length;
  return length;
}

enum progress receive_response(struct connection *c) {
  /* Bounded, so that one fast connection does not starve the others. */
  for (int turn = 0; turn < 16; turn++) {
    ssize_t length = receive_some(c);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return WAITING;
    if (length <= 0) {
      fail(c, length == 0 ? "the server closed the connection" : strerror(errno));
      return BROKEN;
    }
    enum progress progress = parse_input(c);
    if (progress != WAITING) return progress;
  }
  return WAITING;
}
