/* Small PUTs: a line of the plan is target, Content-Type and body. */
#include "load.h"

#include <stdio.h>
#include <string.h>

static bool next_put(struct connection *c) {
  char target[TARGET_CAPACITY], type[256], headers[512];
  c->line = take_line();
  if (c->line == NULL) return false;
  field(c->line, 0, target, sizeof target);
  field(c->line, 1, type, sizeof type);
  const char *body = field_start(c->line, 2);
  size_t length = strlen(body);
  snprintf(headers, sizeof headers, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, length);
  start_request(c, "PUT", target, headers);
  attach_body(c, body, (int64_t)length);
  return true;
}

static int expect_created(const struct connection *c) {
  (void)c;
  return 201;
}

static bool is_done(struct connection *c) {
  (void)c;
  return true;
}

const struct scenario put_scenario = {next_put, expect_created, is_done};
