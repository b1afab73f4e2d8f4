/*
 * Blob pushes: a line of the plan is repository, digest and the blob's unique suffix.
 *
 * Monolithic: POST, PUT with the whole body. Chunked: POST, PATCHes of options.chunk bytes, PUT without body.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define OCTETS "Content-Type: application/octet-stream\r\n"

static bool begin_upload(struct connection *c) {
  char repository[256], target[TARGET_CAPACITY];
  c->line = take_line();
  if (c->line == NULL) return false;
  c->pushed = 0;
  field(c->line, 0, repository, sizeof repository);
  snprintf(target, sizeof target, "/v2/%s/blobs/uploads/", repository);
  start_request(c, "POST", target, "Content-Length: 0\r\n");
  return true;
}

static bool is_chunked(void) {
  return options.chunk > 0;
}

/* The step that ends the upload. */
static bool is_last_request(const struct connection *c) {
  return c->step > 0 && (!is_chunked() || c->pushed == options.size);
}

static void send_chunk(struct connection *c) {
  char headers[256];
  int64_t end = c->pushed + options.chunk;
  if (end > options.size) end = options.size;
  snprintf(headers, sizeof headers, OCTETS "Content-Length: %lld\r\nContent-Range: %lld-%lld\r\n",
           (long long)(end - c->pushed), (long long)c->pushed, (long long)end - 1);
  start_request(c, "PATCH", c->target, headers);
  attach_blob(c, c->pushed, end, field_start(c->line, 2));
}

static void finish_upload(struct connection *c) {
  char digest[256], headers[256], target[TARGET_CAPACITY + 300];
  int64_t length = options.size - c->pushed;
  field(c->line, 1, digest, sizeof digest);
  snprintf(target, sizeof target, "%s%sdigest=%s", c->target, strchr(c->target, '?') == NULL ? "?" : "&", digest);
  snprintf(headers, sizeof headers, OCTETS "Content-Length: %lld\r\n", (long long)length);
  start_request(c, "PUT", target, headers);
  if (length > 0) attach_blob(c, c->pushed, options.size, field_start(c->line, 2));
}

static bool next_push(struct connection *c) {
  if (c->step == 0) return begin_upload(c);
  if (!path_of(c->response.location, c->target, sizeof c->target)) die("no usable Location: %s", c->response.location);
  if (is_last_request(c)) finish_upload(c);
  else send_chunk(c);
  return true;
}

static int expect_step(const struct connection *c) {
  return is_last_request(c) ? 201 : 202;
}

static bool is_pushed(struct connection *c) {
  /* `step` counts the request that was just answered. */
  bool was_last = c->response.status == 201;
  if (c->step > 1 && !was_last) c->pushed = c->request.end;
  return was_last;
}

const struct scenario push_scenario = {next_push, expect_step, is_pushed};
